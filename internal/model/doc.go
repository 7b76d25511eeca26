// Package model checks the rules of the record exhaustively. It visits every interleaving of two concurrent workers, an operator, a
// recovery function, the passing of time, crashes, lost replies, and late copies of messages on one record.
//
// The model uses the transition table of the stores, store.Claim.Apply and its siblings. So it checks the code itself and not a description
// of it. The workers are a small copy of the engine. Time is reduced to the facts that the table and the engine use: whether the lease is
// alive, whether the owner may be alive, and how many days have passed.
//
// Topics that concern few calls have their own search: replay checks, recovery, retention and key age, forgetting. See [Config]. The page
// docs/guarantees.md lists the gaps of the model.
//
// A model without a counterexample proves little unless it can find one. Each [Fault] turns off one rule, and the tests require a
// counterexample.
package model
