-- name: InsertOrder :exec
INSERT INTO orders (id, item) VALUES ($1, $2);

-- name: InsertParcel :exec
INSERT INTO parcels (order_id, parcel) VALUES ($1, $2);
