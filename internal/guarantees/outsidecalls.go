package main

func outsideOfTheCalls() []gap {
	return []gap{
		{
			what: "The engine's own code",
			why: "The model's calls are a small copy of the engine. A copy that is right does not prove that the engine is. Each switch of the " +
				"model that concerns calls has to have its test in the engine.",
			tests: []string{"TestRandomRuns", "TestRandomRunsOnRedis", "TestRandomRunsOnSQL"},
		},
		{
			what: "More than two calls on their way, more than three in all, and long histories",
			why:  "The search has to end. Fences are at most 5, and at most 2 or 3 with private callers, recovery, days or forgetting.",
			tests: []string{
				"TestRandomRuns", "TestF22ThousandDuplicatesAtOnceRunOnceAndCostTheStoreOneClaim",
				"TestF45KeyFloodFromOneCaller",
			},
		},
		{
			what: "Several of these at once: a recovery function, private callers, days that pass, forgetting, a second request",
			why:  "Each has a search of its own, because together they are too many states.",
		},
		{
			what: "How long anything takes",
			why:  "The model has no time. It shows what can happen, and that every record can end.",
			tests: []string{
				"TestWaitTakesOverAsSoonAsTheLeaseEnds", "TestF08CallerGetsItsAnswerBeforeItsDeadline",
				"TestF07RunUnderAtLeastOnceEndsBeforeItsLeaseCanHaveEnded",
			},
		},
	}
}

func outsideOfTheRuns() []gap {
	return []gap{
		{
			what: "A process that is stopped for longer than MaxRun and one lease, and then goes on",
			why:  "No handler works after that time in the model.",
			tests: []string{
				"TestF16StoppedPastTheLeaseAndOvertaken", "TestF17OwnerThatOutlivesItsTimeReportsAnUnknownOutcome",
				"TestF16RunThatOutlivesMaxRunAndItsLeaseReportsAnUnknownOutcome",
			},
			documented: "An effect that comes so late cannot be prevented. Compare the fencing token where the effect happens.",
		},
		{
			what:       "A handler that does not tell the truth: NotExecuted after an effect, an outcome without one",
			why:        "The model's handlers, operators and recovery functions are honest.",
			tests:      []string{"TestAHandlerThatLiesIsFound"},
			documented: "The tests only show that the random runs notice it.",
		},
		{
			what: "A handler's effects elsewhere: half an effect, several, one in another service, one of a goroutine that outlives the run",
			why:  "An effect is one step in the model.",
			tests: []string{
				"TestF03F04KilledAfterAnEffectOutsideIsUnknownUntilItIsFound",
				"TestF15_DownstreamDeduplicatesByDerivedKeyWhenACompletionIsLost",
			},
			documented: "The guarantee is about the handler as a whole.",
		},
		{
			what: "Database transactions: isolation, savepoints, a lost reply to COMMIT, a commit that the database refuses",
			why:  "Effect and completion are one step under EXACTLY_ONCE in the model. Single and joined transactions are the same to it.",
			tests: []string{
				"TestF12CommitReplyLostIsAnsweredByWhatTheDatabaseHas", "TestF12JoinedCommitReplyLostIsDecidedByTheRecord",
				"TestF01F02F05EveryOrderHasOneRowAndOneRecordAlthoughServersAreKilled", "TestRandomRunsOnSQL",
			},
		},
		{
			what: "Recovery functions that are slow, that fail, or that panic, and calls that wait for one together",
			why:  "The model's function answers at once, and each call asks by itself.",
			tests: []string{
				"TestOneCallRunsTheRecoveryFunctionAndTheOthersWait", "TestRecoveryThatHangsIsNotStartedAgain",
				"TestFollowersOfARecoveryThatHangsAreAnsweredWhenItsTimeIsOver",
			},
		},
		{
			what: "Replay checks that allow some callers, change their answer, or fail; errors that duplicates of one process share",
			why:  "A check denies everything or nothing in the model, and only recorded answers are shown.",
			tests: []string{
				"TestF27ReplayCheckGuardsEveryReplayAndEveryWait", "TestF27ReplayCheckGuardsTheSharedErrorOfAReleasedRun",
				"TestRecoveryDoesNotRunForACallerWhoFailsTheReplayCheck",
			},
		},
		{
			what:  "Calls that run without a record because the store is down",
			why:   "A call that fails open has no guarantee.",
			tests: []string{"TestF06FailOpenRunsUnprotectedAndReportsIt", "TestF06FailOpenDoesNotRunNextToALiveRun"},
		},
		{
			what: "Panics, drains, callers who leave, and MaxRun",
			why:  "To the record they are a crash, or an ending of a run, which the model has.",
			tests: []string{
				"TestF33PanicIsRecordedByTheGuaranteeAndGoesOn", "TestF56DrainRefusesNewCallsAndWaitsForThoseUnderWay",
				"TestF20RunGoesOnAndIsRecordedWhenItsCallerCancels",
			},
		},
		{
			what: "The backlog: how much is tried again in the background, in which order, and what is given up",
			why:  "A message may arrive at any time or never in the model. It does not compete with others.",
			tests: []string{
				"TestF08FailedReleaseAndHoldAreTriedAgainInTheBackground",
				"TestF56DrainGivesUpWhatTheStoreDoesNotAcknowledge",
			},
		},
		{
			what: "Limits: waiters, runs, records, and the shares of scopes",
			why:  "There is room for everything in the model.",
			tests: []string{
				"TestF22DuplicatesBeyondTheBoundGetARetryableError", "TestF41FullStoreRefusesANewKeyAndServesTheOldOnes",
				"TestF45KeyFloodFromOneCaller",
			},
		},
		{
			what: "Several keys at once: chains of services, derived keys, a call that comes back to its own key",
			why:  "There is one key in the model.",
			tests: []string{
				"TestChainOfServicesConverges", "TestEveryOrderHappensOnceAlthoughAllServicesAreKilled",
				"TestCallInsideItsOwnRunIsRefusedAtOnce", "TestF57_RejectionOfADownstreamServerIsAmbiguous",
			},
		},
	}
}
