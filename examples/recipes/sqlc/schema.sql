CREATE TABLE orders (id text PRIMARY KEY, item text NOT NULL);
CREATE TABLE parcels (order_id text NOT NULL, parcel text NOT NULL);
