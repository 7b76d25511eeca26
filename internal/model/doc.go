// Package model checks the rules of the record exhaustively. It visits every order in which two workers at a time, an operator, a
// recovery function, the passing of time, crashes, lost replies and late copies of every message can meet on one record.
//
// The transition table that the stores use, store.Claim.Apply and its siblings, decides what becomes of the record. So the code is
// checked, and not a description of it. The workers are a small copy of the engine. Time consists of the few facts that the table
// and the engine ask for: is the lease alive, may the owner be alive, how many days have passed.
//
// What concerns few calls has a search of its own, see [Config]: replay checks, recovery, retentions and the ages of keys, forgetting.
// The page docs/guarantees.md lists what is outside of the model.
//
// A model without a counterexample proves little unless it can find one. Each [Fault] turns one rule off, and the tests demand the
// counterexample.
package model
