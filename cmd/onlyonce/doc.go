// Command onlyonce shows and settles the idempotency records in a store. It also checks, measures and plans stores.
//
//	onlyonce doctor redis://localhost:6379
//	onlyonce list --store redis://localhost:6379 --older 5m
//	onlyonce show ID
//	onlyonce resolve ID --happened --response @answer.json --descriptors payments.binpb --reason "seen at the bank"
//	onlyonce resolve ID --did-not-happen --reason "not at the bank"
//	onlyonce forget ID --reason "a person wants to be forgotten"
//	onlyonce watch
//	onlyonce capacity --rps 100000 --retention 24h --bytes 300
//	onlyonce bench sqlite:records.db
//	onlyonce console redis://localhost:6379
//
// The exit status is 0 for success, 1 for a failure or an unfit store, and 2 for a wrong command line. Package operate has the same
// functions for other programs.
package main
