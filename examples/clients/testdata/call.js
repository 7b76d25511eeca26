'use strict';

// Calls Charge under a key and prints how it ended: call.js ADDRESS set FILE, or call.js ADDRESS files FOLDER...

const { readFileSync } = require('node:fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, way, ...paths] = process.argv.slice(2);
const definition = way === 'set'
  ? loader.loadFileDescriptorSetFromBuffer(readFileSync(paths[0]))
  : loader.loadSync('charges/v1/charges.proto', { includeDirs: paths });
const { charges } = grpc.loadPackageDefinition(definition);

const client = new charges.v1.ChargeService(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set('idempotency-key', 'from-node');
const call = client.charge({ order: 'from-node' }, metadata, (error) => error && console.error(error));
call.on('status', ({ metadata: trailer }) => {
  console.log('idempotency-status:', trailer.get('idempotency-status')[0]);
  client.close();
});
