'use strict';

// KeyedMethod calls a unary method with an idempotency key, and retries the call if
// that is safe. docs/clients.md has the rules. Copy this file, details.js and details.proto.

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { Metadata, status } = require('@grpc/grpc-js');
const { detailsOf } = require('./details.js');

const MINUTE = 60_000;

// The verdicts.
const FINAL = 'final'; // the answer will not change; a new key is a new operation
const UNKNOWN = 'unknown'; // it may have happened; keep the key, and never use a new key
const NOT_EXECUTED = 'not executed'; // the call had no effect; try again with the same key

// Rejections after which a later attempt with the same key may succeed.
const RETRIED = new Set([
  'IDEMPOTENCY_IN_PROGRESS',
  'IDEMPOTENCY_LEASE_LOST',
  'IDEMPOTENCY_STORE_UNAVAILABLE',
  'IDEMPOTENCY_STORE_FULL',
  'IDEMPOTENCY_RECORD_NEWER',
]);

// Rejections of a call that never ran and never will.
const NEVER_RAN = new Set(['IDEMPOTENCY_KEY_INVALID', 'IDEMPOTENCY_KEY_MISSING', 'IDEMPOTENCY_NOT_SUPPORTED']);

// Codes with which this client or a proxy may replace a recorded answer.
const MADE_ON_THE_WAY = new Set([
  status.CANCELLED, status.UNKNOWN, status.DEADLINE_EXCEEDED, status.RESOURCE_EXHAUSTED, status.INTERNAL,
]);

// Codes of applications. Proxies and broken connections do not have them.
const OF_APPLICATIONS = new Set([
  status.INVALID_ARGUMENT, status.NOT_FOUND, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE,
]);

class KeyedError extends Error {
  constructor(cause, key, verdict, info) {
    super(`${cause.message} (idempotency key ${key}, ${verdict})`, { cause });
    this.name = 'KeyedError';
    this.code = cause.code;
    this.key = key;
    this.verdict = verdict;
    this.reason = info?.reason; // of a rejection, such as IDEMPOTENCY_KEY_REUSED
    this.info = info?.metadata ?? {};
  }
}

class KeyedMethod {
  // Make one for each method and channel. Set `annotated` if the .proto declares the
  // method protected, and all servers have the kit: the method is then retried from the
  // first call on. Otherwise it is retried after the server has confirmed that it reads
  // keys. This client cannot tell a broken connection from an UNAVAILABLE of a handler.
  constructor(client, method, options = {}) {
    this.client = client;
    this.method = method;
    this.confirmed = options.annotated ?? false;
    this.timeout = options.timeout ?? 30_000; // of a call, in milliseconds, as all times here
    this.attemptTimeout = options.attemptTimeout ?? 5_000;
    this.baseDelay = options.baseDelay ?? 100;
    this.maxDelay = options.maxDelay ?? 5_000;
    this.retention = options.retention ?? 24 * 60 * MINUTE;
    this.log = options.log ?? console.warn;
    this.warned = false;
  }

  // call resolves to { response, key, replayed }. It rejects with a KeyedError.
  // Store the key beside the order before the first call. After an error whose
  // verdict is UNKNOWN, call again with that key.
  async call(request, { key = randomUUID(), timeout = this.timeout } = {}) {
    const began = Date.now();
    let end = began + timeout;
    let last = began + spanOfRetries(this.retention); // no attempt begins later
    let ambiguous = false; // an attempt may have taken effect

    for (let attempt = 0; ; attempt++) {
      const deadline = Math.min(end, Date.now() + this.attemptTimeout);
      const answer = await this.attempt(request, key, attempt, deadline);
      const { error, trailer } = answer;

      const retention = Number(first(trailer, 'idempotency-retention'));
      if (retention > 0) last = Math.min(last, began + spanOfRetries(retention * 1_000));

      const wasConfirmed = this.learn(answer);
      if (!error) return { response: answer.response, key, replayed: first(trailer, 'idempotent-replayed') === 'true' };

      const { info, retryDelay } = detailsOf(trailer);
      const own = judge(error, trailer, info);
      ambiguous ||= own === UNKNOWN;
      const verdict = own === NOT_EXECUTED && ambiguous ? UNKNOWN : own;

      const delay = delayOf(trailer, retryDelay) ?? this.backoff(attempt);
      const next = Date.now() + delay;
      const again = wasConfirmed && own !== FINAL && isRetried(error, info, deadline < end);
      if (!again || delay < 0 || next >= Math.min(end, last)) throw new KeyedError(error, key, verdict, info);

      await sleep(delay);
    }
  }

  // attempt makes one attempt. It always resolves.
  attempt(request, key, attempt, deadline) {
    const metadata = new Metadata();
    metadata.set('idempotency-key', key);
    if (attempt > 0) metadata.set('x-retry-attempt', String(attempt));

    return new Promise((resolve) => {
      let result;
      const call = this.client[this.method](request, metadata, { deadline }, (error, response) => {
        result = { error, response };
      });
      call.on('status', ({ metadata: trailer }) => resolve({ ...result, trailer }));
    });
  }

  // learn remembers whether the server reads keys, and returns whether this call may
  // be retried.
  learn({ error, trailer }) {
    if (first(trailer, 'idempotency-status') !== undefined) return (this.confirmed = true);
    if (error && !OF_APPLICATIONS.has(error.code)) return this.confirmed; // a proxy's answer, or none

    this.confirmed = false;
    if (!this.warned) this.log(`${this.method}: the server ignores idempotency keys, so calls are not retried`);
    this.warned = true;
    return false;
  }

  backoff(attempt) {
    return Math.random() * Math.min(this.maxDelay, this.baseDelay * 2 ** attempt);
  }
}

// judge returns the verdict of one attempt, without regard to earlier attempts.
function judge(error, trailer, info) {
  switch (first(trailer, 'idempotency-status')) {
    case 'executed':
    case 'replayed':
      return MADE_ON_THE_WAY.has(error.code) ? UNKNOWN : FINAL;
    case 'released':
      return NOT_EXECUTED;
    case 'rejected':
      return NEVER_RAN.has(info?.reason) ? FINAL : UNKNOWN;
    default:
      return UNKNOWN;
  }
}

function isRetried(error, info, hasTime) {
  if (info) return RETRIED.has(info.reason);
  return error.code === status.UNAVAILABLE || (error.code === status.DEADLINE_EXCEEDED && hasTime);
}

// delayOf returns the delay in the answer. A negative delay means: do not retry.
function delayOf(trailer, retryDelay) {
  if (retryDelay !== undefined) return retryDelay;
  const pushback = first(trailer, 'grpc-retry-pushback-ms');
  return pushback === undefined ? undefined : Number(pushback);
}

// spanOfRetries leaves time for an attempt to arrive while the outcome is kept.
function spanOfRetries(retention) {
  return retention - Math.min(10 * MINUTE, retention / 2);
}

function first(metadata, name) {
  return metadata?.get(name)[0];
}

module.exports = { KeyedMethod, KeyedError, FINAL, UNKNOWN, NOT_EXECUTED };
