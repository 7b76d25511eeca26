// Command onlyonce shows and settles idempotency records, and examines the stores that keep them.
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
// The exit status is 0 if all is well, 1 if something failed or a store is not fit, and 2 if the command line is wrong. Package operate
// does the work, and is there for other tools.
package main
