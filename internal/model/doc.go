// Package model checks the rules of the record exhaustively: every order in which two workers at a time, an operator, the
// passing of time, crashes, lost replies and late copies of every message can meet on one record.
//
// What becomes of the record is decided by the transition table that the stores use, store.Claim.Apply and its siblings, so
// that it is the code which is checked and not a description of it. What the workers do is a small copy of the engine, and
// time is made of the few facts that the table asks for: is the lease alive, may the owner be alive.
//
// A model without a counterexample proves little unless it can find one. Each [Fault] turns one rule off, and the tests
// demand that the counterexample appears.
package model
