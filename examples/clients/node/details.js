'use strict';

const path = require('node:path');
const { loadSync } = require('@grpc/proto-loader');

const types = loadSync(path.join(__dirname, 'details.proto'), { keepCase: true, longs: Number, defaults: true });

// detailsOf returns what the trailers of an error say about idempotency: `info` has the
// reason of a rejection, `retryDelay` is in milliseconds. Errors of others have no info.
function detailsOf(trailer) {
  const [bytes] = trailer?.get('grpc-status-details-bin') ?? [];
  const found = {};
  if (!bytes) return found;

  for (const { type_url: url, value } of read('Status', bytes).details) {
    if (url.endsWith('/google.rpc.ErrorInfo')) {
      const info = read('ErrorInfo', value);
      if (info.domain === 'onlyonce') found.info = info;
    } else if (url.endsWith('/google.rpc.RetryInfo')) {
      const { retry_delay: delay } = read('RetryInfo', value);
      if (delay) found.retryDelay = delay.seconds * 1_000 + delay.nanos / 1e6;
    }
  }
  return found;
}

function read(name, bytes) {
  return types[`onlyonce.details.${name}`].deserialize(bytes);
}

module.exports = { detailsOf };
