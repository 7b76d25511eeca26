'use strict';

// The Go test of the folder above starts the servers and runs these tests.

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const path = require('node:path');
const { randomUUID } = require('node:crypto');
const { test, after } = require('node:test');
const grpc = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');
const { KeyedMethod, FINAL, UNKNOWN, NOT_EXECUTED } = require('./keyed.js');
const { detailsOf } = require('./details.js');

const { CHARGES_WITH_KIT: withKit, CHARGES_WITHOUT_KIT: withoutKit } = process.env;
const proto = path.join(__dirname, '..', 'proto');
const options = path.join(__dirname, '..', '..', '..', 'proto');
const { charges } = grpc.loadPackageDefinition(loadSync('charges/v1/charges.proto', { includeDirs: [proto, options] }));

const clients = [];
after(() => clients.forEach((client) => client.close()));

// KeyedMethod retries, so gRPC must not.
function connect(address, channelOptions = { 'grpc.enable_retries': 0 }) {
  const client = new charges.v1.ChargeService(address, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1, // a connection of its own, which nobody else's test cuts
    ...channelOptions,
  });
  clients.push(client);
  return client;
}

function keyed(address, methodOptions) {
  return new KeyedMethod(connect(address), 'charge', { log: () => {}, timeout: 120_000, attemptTimeout: 60_000, ...methodOptions });
}

function receiptsOf(order, address = withKit) {
  return new Promise((resolve, reject) => {
    connect(address).listReceipts({ order }, (error, response) => (error ? reject(error) : resolve(response.receipts)));
  });
}

// bare makes one call with nothing but gRPC.
function bare(client, request, key) {
  const metadata = new grpc.Metadata();
  metadata.set('idempotency-key', key);
  return new Promise((resolve) => {
    const answer = {};
    const call = client.charge(request, metadata, { deadline: Date.now() + 60_000 }, (error, response) => {
      Object.assign(answer, { error, response });
    });
    call.on('metadata', (header) => (answer.header = header));
    call.on('status', ({ metadata: trailer }) => resolve({ ...answer, trailer }));
  });
}

const orderOf = (t) => `node ${t.name} ${randomUUID()}`;

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('the call has succeeded');
}

test('a call that is made again gets the replay of the first', async (t) => {
  const [order, key, client] = [orderOf(t), randomUUID(), connect(withKit)];
  const one = await bare(client, { order, cents: 5 }, key);
  const two = await bare(client, { order, cents: 5 }, key);

  assert.equal(one.trailer.get('idempotency-status')[0], 'executed');
  assert.equal(two.trailer.get('idempotency-status')[0], 'replayed');
  assert.equal(two.header.get('idempotent-replayed')[0], 'true');
  assert.equal(two.trailer.get('idempotent-replayed')[0], 'true');
  assert.ok(Date.parse(two.trailer.get('idempotency-executed-at')[0]));
  assert.equal(two.trailer.get('idempotency-retention')[0], '7200');
  assert.deepEqual(two.response, one.response);
  assert.deepEqual(await receiptsOf(order), [one.response.receipt]);
});

test('a key that belongs to another request has an ErrorInfo, and the verdict unknown', async (t) => {
  const [order, key, charge] = [orderOf(t), randomUUID(), keyed(withKit)];
  await charge.call({ order, cents: 5 }, { key });
  const error = await failure(charge.call({ order, cents: 6 }, { key }));

  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(error.reason, 'IDEMPOTENCY_KEY_REUSED');
  assert.equal(error.info.first, 'completed');
  assert.equal(error.verdict, UNKNOWN);
  assert.equal(error.key, key);
  assert.equal((await receiptsOf(order)).length, 1);
});

test('a duplicate of a running call has an ErrorInfo, a RetryInfo and a pushback', async (t) => {
  const [order, key, client] = [orderOf(t), randomUUID(), connect(withKit)];
  const answers = await Promise.all([1, 2].map(() => bare(client, { order, card: 'slow' }, key)));
  const [{ error, trailer }, ...others] = answers.filter((answer) => answer.error);

  assert.equal(others.length, 0);
  assert.equal(error.code, grpc.status.UNAVAILABLE);
  assert.equal(trailer.get('idempotency-status')[0], 'rejected');

  const { info, retryDelay } = detailsOf(trailer);
  assert.equal(info.reason, 'IDEMPOTENCY_IN_PROGRESS');
  assert.ok(retryDelay > 0);
  assert.ok(Math.abs(Number(trailer.get('grpc-retry-pushback-ms')[0]) - retryDelay) <= 1);
});

test('a rejection is trailers-only: one frame of headers that ends the stream', async () => {
  const session = http2.connect(`http://${withKit}`);
  const stream = session.request({
    ':method': 'POST', ':path': '/charges.v1.ChargeService/Charge', 'content-type': 'application/grpc', te: 'trailers',
  });
  stream.end(Buffer.alloc(5)); // an empty message
  stream.on('trailers', () => assert.fail('there are trailers'));
  const [headers] = await Promise.all([
    new Promise((resolve) => stream.on('response', resolve)),
    new Promise((resolve) => stream.on('end', resolve).resume()),
  ]);
  session.close();

  assert.equal(headers['grpc-status'], String(grpc.status.INVALID_ARGUMENT));
  assert.equal(headers['idempotency-status'], 'rejected'); // its key is missing
});

test("gRPC's own retries turn a duplicate of a running call into the replay", async (t) => {
  const config = {
    methodConfig: [{
      name: [{ service: 'charges.v1.ChargeService', method: 'Charge' }],
      retryPolicy: {
        maxAttempts: 5, initialBackoff: '0.1s', maxBackoff: '1s', backoffMultiplier: 2, retryableStatusCodes: ['UNAVAILABLE'],
      },
    }],
  };
  const [order, key] = [orderOf(t), randomUUID()];
  const client = connect(withKit, { 'grpc.service_config': JSON.stringify(config) });
  const answers = await Promise.all([1, 2].map(() => bare(client, { order, card: 'slow' }, key)));

  assert.deepEqual(answers.map((answer) => answer.trailer.get('idempotency-status')[0]).sort(), ['executed', 'replayed']);
  assert.deepEqual(answers[0].response, answers[1].response);
  assert.equal((await receiptsOf(order)).length, 1);
});

test('a duplicate of a running call waits as long as the server asks, and gets the replay', async (t) => {
  const [order, key, charge] = [orderOf(t), randomUUID(), keyed(withKit)];
  const answers = await Promise.all([1, 2].map(() => charge.call({ order, card: 'slow' }, { key })));

  assert.deepEqual(answers.map((answer) => answer.replayed).sort(), [false, true]);
  assert.deepEqual(await receiptsOf(order), [answers[0].response.receipt]);
});

test('the order of fields and of map entries does not make another request', async (t) => {
  const [order, key, client] = [orderOf(t), randomUUID(), connect(withKit)];
  const bytes = (tag, ...parts) => {
    const value = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([tag, value.length]), value]);
  };
  const label = (name, value) => bytes(0x22, bytes(0x0a, Buffer.from(name)), bytes(0x12, Buffer.from(value)));
  const fields = [bytes(0x0a, Buffer.from(order)), Buffer.from([0x10, 5]), label('a', 'x'), label('b', 'y')];
  const send = (message) => {
    const metadata = new grpc.Metadata();
    metadata.set('idempotency-key', key);
    return new Promise((resolve) => {
      const call = client.makeUnaryRequest('/charges.v1.ChargeService/Charge', (b) => b, (b) => b, message, metadata, () => {});
      call.on('status', ({ metadata: trailer }) => resolve(trailer.get('idempotency-status')[0]));
    });
  };

  assert.equal(await send(Buffer.concat(fields)), 'executed');
  assert.equal(await send(Buffer.concat(fields.reverse())), 'replayed');
});

test('a lost answer is fetched by a retry, where the method is annotated', async (t) => {
  const order = orderOf(t);
  const { response, replayed } = await keyed(withKit, { annotated: true }).call({ order, card: 'cut' });

  assert.ok(replayed);
  assert.deepEqual(await receiptsOf(order), [response.receipt]);
});

test('a lost answer is fetched by a retry, once the server is confirmed', async (t) => {
  const [order, charge] = [orderOf(t), keyed(withKit)];
  await charge.call({ order: `${order} before` });
  const { response } = await charge.call({ order, card: 'cut' });

  assert.deepEqual(await receiptsOf(order), [response.receipt]);
});

test('a lost answer is unknown and not fetched, before the server is confirmed', async (t) => {
  const order = orderOf(t);
  const error = await failure(keyed(withoutKit).call({ order, card: 'cut' }));

  assert.equal(error.verdict, UNKNOWN);
  assert.ok(error.key);
  assert.equal((await receiptsOf(order, withoutKit)).length, 1);
});

test('a server without the kit is reported once, and ends the confirmation', async (t) => {
  const [order, messages] = [orderOf(t), []];
  const charge = keyed(withoutKit, { annotated: true, log: (message) => messages.push(message) });
  await charge.call({ order: `${order} before` });
  await failure(charge.call({ order: `${order} before`, card: 'declined' }));
  const error = await failure(charge.call({ order, card: 'cut' }));

  assert.equal(messages.length, 1);
  assert.equal(error.verdict, UNKNOWN);
  assert.equal((await receiptsOf(order, withoutKit)).length, 1);
});

test('an error has its verdict', async (t) => {
  const charge = keyed(withKit);
  for (const [card, code, verdict] of [
    ['declined', grpc.status.FAILED_PRECONDITION, FINAL],
    ['broken', grpc.status.INTERNAL, UNKNOWN],
    ['busy', grpc.status.RESOURCE_EXHAUSTED, NOT_EXECUTED],
  ]) {
    const error = await failure(charge.call({ order: orderOf(t), card }));
    assert.deepEqual([error.code, error.verdict], [code, verdict], card);
  }
});

test('an outcome that is unknown stays unknown to a call that is made again', async (t) => {
  const [order, key, charge] = [orderOf(t), randomUUID(), keyed(withKit)];
  await failure(charge.call({ order, card: 'broken' }, { key }));
  const error = await failure(charge.call({ order, card: 'broken' }, { key }));

  assert.deepEqual([error.reason, error.verdict], ['IDEMPOTENCY_OUTCOME_UNKNOWN', UNKNOWN]);
  assert.equal((await receiptsOf(order)).length, 1);
});

// Without the rule, this call goes on for a day.
test("retries end before the server's retention does", async (t) => {
  const charge = keyed(withoutKit, { maxDelay: 100 });
  const error = await failure(charge.call({ order: orderOf(t), card: 'brief' }, { timeout: 24 * 60 * 60_000 }));

  assert.deepEqual([error.code, error.verdict], [grpc.status.UNAVAILABLE, NOT_EXECUTED]);
});
