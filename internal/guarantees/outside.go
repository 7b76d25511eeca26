package main

import "slices"

// gap is something that the model does not cover.
type gap struct {
	what string
	why  string
	// tests cover the gap instead. The page says if there are none.
	tests []string
	// documented is a sentence about the remaining risk.
	documented string
}

// outside returns all known gaps of the model: in the store, in calls, in their runs, and around them.
func outside() []gap {
	return slices.Concat(outsideOfTheRecord(), outsideOfTheCalls(), outsideOfTheRuns(), outsideOfTheService())
}

func outsideOfTheRecord() []gap {
	return []gap{
		{
			what: "The stores: Redis scripts, SQL statements, the shards of the embedded store",
			why:  "The model calls the transition table. A remote store mirrors the table in another language.",
			tests: []string{
				"TestContract", "TestContractInACluster", "TestEveryTransitionIsThatOfTheTable",
				"TestEveryResolutionIsThatOfTheTable", "TestEveryForgettingIsThatOfTheTable",
			},
		},
		{
			what: "The store's clock when it steps, and two servers with different clocks",
			why:  "Time only passes in the model.",
			tests: []string{
				"TestF30SingleTransactionsDoNotDependOnTheClockOfTheStore",
				"TestF30JoinedTransactionIsFencedWhenAStepOfTheClockEndsItsLease",
				"TestF30LeaseHoldsForLongerWhenTheClockIsSteppedBack",
			},
		},
		{
			what: "The clocks of clients and servers, and the tolerance for them in a time-ordered key",
			why:  "Ages are whole days in the model, and a key that is as old as its life is too old.",
			tests: []string{
				"TestF31ClocksThatAreAnHourOff", "TestF31AgeOfATimeOrderedKeyIsThatOnTheStoresClock",
				"TestF29KeyOfAClockThatIsAheadDoesNotRunAgainAfterItsRetention",
			},
		},
		{
			what: "A store that loses records: failover, restart, eviction",
			why:  "A record only ends by its retention or by an operator in the model.",
			tests: []string{
				"TestF13FailoverLosesClaims", "TestF15FailoverLosesCompletions", "TestF42AServerThatEvictsIsRefused",
				"TestF43RunEndsWhenItsRecordIsGone",
			},
			documented: "What a lost record does to a guarantee is documented, not prevented.",
		},
		{what: "Two masters of one store at a time", why: "The store is one in the model."},
		{
			what: "Records that are damaged, or written by a newer build",
			why:  "Every record can be read in the model.",
			tests: []string{
				"TestF36_DamagedRecordIsNeverRunAgain", "TestF36OutcomeOfAnotherKeyIsUnreadable",
				"TestF39RecordOfANewerBuildIsLeftToAnotherReplica",
			},
		},
		{
			what:       "The end of a record whose outcome is unknown, in a store with an unknown retention",
			why:        "Such a record stays for ever in the model.",
			tests:      []string{"TestF28UnknownOutcomeDoesNotExpire"},
			documented: "The key runs again after the unknown retention: see package store.",
		},
		{
			what: "Rule 8: no takeover long after the first start",
			why:  "The records that it protects are those of other services.",
			tests: []string{
				"TestRunIsNotTakenOverOnceItsFirstStartIsOlderThanTheRetention",
				"TestRunIsNotRepeatedAfterDoubtOnceItsFirstStartIsOlderThanTheRetention",
			},
		},
		{
			what: "Copies of claims and of an operator's messages that arrive more than a day late, or after the record has expired or was " +
				"forgotten",
			why: "Networks do not keep a message for so long. The model has late copies only within a record's life; completions and releases, " +
				"which are tried in the background, may be older, but not after a forgetting.",
			documented: "A late claim leaves a record without an owner: its outcome is unknown under AT_MOST_ONCE, and it is taken over " +
				"otherwise. A late resolution as completed settles a later record with the same fence.",
		},
		{
			what: "Forget while the owner may be alive",
			why:  "Force is the operator's decision, and no rule holds after it: the effect may happen twice.",
		},
		{
			what: "Forget while an owner that was overtaken still runs",
			why:  "The record is settled by then, so a store does not refuse it. The model's operator waits.",
			documented: "Only under AT_LEAST_ONCE: the late effect is forgotten with the doubt, so that a later run may say that nothing " +
				"happened.",
		},
		{
			what: "Records that are forgotten more than once, or while their owner still writes its end",
			why:  "The model's operator forgets once, and after the owner has ended.",
		},
		{
			what:  "Lists of records, and notifications",
			why:   "Both only save time. Every decision reads the record.",
			tests: []string{"TestContract", "TestWaitSurvivesALostNotification", "TestF36ListUnknownNamesWhatItCannotReadAndGoesOn"},
		},
	}
}

func outsideOfTheService() []gap {
	return []gap{
		{
			what: "Names: scope, method and key as one storage key",
			why:  "There is one record in the model.",
			tests: []string{
				"TestScopeAndKeyDoNotRunIntoEachOther", "TestF24F25F26AKeyIsBoundToItsRequestItsMethodAndItsCaller",
				"TestF26SameKeyOfAnotherCallerIsAnotherCall",
			},
		},
		{
			what: "Deployments that change a policy: two guarantees or retentions on one key at a time, a retention or key life that is lowered",
			why:  "All servers change at once in the model, and only the retention rises.",
			tests: []string{
				"TestF60StricterOfTwoGuaranteesHolds", "TestF60_StricterGuaranteeHoldsWhileADeploymentChangesTheAnnotation",
				"TestF40_RetryThatMeetsAnotherBuildIsAnsweredFromTheRecord",
			},
			documented: "The order of the steps is up to the operator.",
		},
		{
			what: "Fingerprints and encodings: which requests are the same, how outcomes are written, outcomes that are too large",
			why:  "Requests and outcomes are small numbers in the model.",
			tests: []string{
				"TestEqualMessagesHaveEqualDigests", "TestF40_AnotherRequestIsAReusedKeyOnBothBuilds",
				"TestF34OutcomeOverTheCapIsKeptAsDoneWithoutItsBody", "TestF36EveryFlippedBitOfAStoredOutcomeIsNoticed",
			},
		},
		{
			what:  "The class of an outcome: which errors are definite, ambiguous or not executed",
			why:   "The model's handlers choose the class.",
			tests: []string{"TestF32_WhatBecomesOfEveryCode", "TestF57_RejectionOfADownstreamServerIsAmbiguous"},
		},
		{
			what: "The transport: status, details, metadata, lost connections, order of interceptors",
			why:  "The model ends at the engine's answer.",
			tests: []string{
				"TestF05_ConnectionCutBeforeTheReply", "TestF05_ClientGetsTheRecordedAnswerOverANewConnection",
				"TestF52_KeyInsideTheRetryLoopIsRefused", "TestReplayOverRawHTTP2",
			},
		},
		{
			what: "Clients: which attempts they repeat, for how long, and what they conclude from the answer",
			why:  "The model's calls do not know each other.",
			tests: []string{
				"TestRandomRuns", "TestF29_ClientDoesNotRetryAfterTheRetention",
				"TestF53_NativeRetriesDoNotMultiplyWithOurs", "TestF58_ServerWithoutTheInterceptorIsReported",
			},
			documented: "A client that takes a new key after an unknown outcome can pay twice.",
		},
		{
			what:  "Observers and logs",
			why:   "They decide nothing.",
			tests: []string{"TestObserverThatPanicsChangesNothing", "TestF19SlowObserverDoesNotKeepARunAlive"},
		},
	}
}
