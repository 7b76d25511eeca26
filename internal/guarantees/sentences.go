package main

// sentence is a promise with the tests that prove it.
type sentence struct {
	id      string // anchor on the page
	promise string
	tests   []string
}

// sentences returns all promises.
func sentences() []sentence {
	return append(ofTheGuarantees(), underAllGuarantees()...)
}

func ofTheGuarantees() []sentence {
	return []sentence{
		{
			"at-most-once",
			"`AtMostOnce`: the handler never runs again by itself. Callers get `IDEMPOTENCY_OUTCOME_UNKNOWN` until the late owner, a " +
				"recovery function or a person settles the outcome.",
			[]string{
				"TestTheRulesHaveNoCounterexample", "TestF03KilledInsideTheHandlerAfterTheEffect",
				"TestF17LateOwnerSettlesItsOwnUnknownRecord", "TestF04RecoveryThatFindsTheEffectRecordsIt",
				"TestF32_WhatBecomesOfEveryCode",
			},
		},
		{
			"at-least-once",
			"`AtLeastOnce`: the next duplicate runs the handler again, with a higher fencing token. After runs that never ended, there are " +
				"at most `MaxAttempts` runs in a row.",
			[]string{
				"TestF16OvertakenOwnerGetsTheWinnersOutcome", "TestWaitTakesOverAsSoonAsTheLeaseEnds",
				"TestF55ARequestThatKillsItsProcessRunsMaxAttemptsTimes",
			},
		},
		{
			"exactly-once",
			"`ExactlyOnce`: the handler's rows and the record commit together or not at all.",
			[]string{
				"TestF01F02F05EveryOrderHasOneRowAndOneRecordAlthoughServersAreKilled", "TestExactlyOnceCommitsTheRowsWithTheRecord",
				"TestF12CommitReplyLostIsAnsweredByWhatTheDatabaseHas",
				"TestF01F02KilledBeforeAJoinedTransactionCommitsIsTakenOverAfterTheLease",
			},
		},
		{
			"exactly-once-refused",
			"`ExactlyOnce` is refused where the store cannot hold it.",
			[]string{"TestPoliciesThatCannotHoldAreReported"},
		},
		{
			"recovery",
			"A recovery function is called before a record whose outcome is unknown is given up, and before its handler runs again.",
			[]string{"TestTheRulesHaveNoCounterexample", "TestF04RecoveryThatFindsTheEffectRecordsIt"},
		},
	}
}

func underAllGuarantees() []sentence {
	return []sentence{
		{
			"one-run",
			"One run at a time holds a key.",
			[]string{
				"TestF22ThousandDuplicatesAtOnceRunOnceAndCostTheStoreOneClaim", "TestF22_ThousandDuplicatesAtOnceGetTheOneAnswer",
				"TestF18CompletionAndTakeoverAtOnceHaveOneWinner",
			},
		},
		{
			"one-answer",
			"Every recorded answer is the same for everyone: code, message, details, response bytes, and the header and trailer " +
				"metadata that the handler set. [contract.md](contract.md#the-answer) has the metadata that a replay may leave out.",
			[]string{"TestF05_ConnectionCutBeforeTheReply", "TestF05_ClientGetsTheRecordedAnswerOverANewConnection"},
		},
		{
			"one-request",
			"A key is bound to its first request. Another request with the key is rejected, whatever became of the first.",
			[]string{"TestF24OtherRequestUnderTheSameKeyIsRefusedInEveryState", "TestF24_KeyReusedOnEveryPath"},
		},
		{
			"request-metadata",
			"Metadata belongs to the request if `WithRequestMetadata` names it.",
			[]string{"TestF86_MetadataThatBelongsToTheRequestMakesItAnother"},
		},
		{
			"caller-gone",
			"A run goes on when its caller has gone, because the retry needs its outcome. `MaxRun` bounds it.",
			[]string{"TestF20RunGoesOnAndIsRecordedWhenItsCallerCancels", "TestF20_CallerCancelsWhileTheHandlerRuns"},
		},
		{
			"lost-reply",
			"A lost reply of the store neither runs the handler twice nor locks the key.",
			[]string{
				"TestF09LostClaimReplyRunsOnce", "TestF11LostCompletionReplyIsRecognisedAsOwnWork",
				"TestF54ClaimThatLandsAfterItsReleaseLoses",
			},
		},
		{
			"no-silent-run",
			"Nothing that carries a key runs silently without protection. A full or unreachable store rejects the call before the handler " +
				"runs, unless the method's `StoreDown` is `FailOpen`. Such an answer is marked `unprotected`. Exempt are methods whose policy " +
				"ignores keys, and health checks.",
			[]string{
				"TestF06_NothingRunsWhileTheStoreIsDown", "TestF06_FailOpenRunsOnlyWhereThePolicyOfTheMethodAllowsIt",
				"TestF41FullStoreRefusesANewKeyAndServesTheOldOnes",
			},
		},
		{
			"true-not-executed",
			"No caller gets an answer that nothing happened while the effect is there. Once an earlier run of the key may have taken " +
				"effect, a later `NotExecuted` does not prove that nothing happened.",
			[]string{"TestTheRulesHaveNoCounterexample", "TestNotExecutedAfterADoubtfulRunIsUnknown"},
		},
		{
			"scopes",
			"Callers of different scopes never meet: neither answers nor rejections of one depend on the keys of another.",
			[]string{"TestF26SameKeyOfAnotherCallerIsAnotherCall", "TestF24F25F26AKeyIsBoundToItsRequestItsMethodAndItsCaller"},
		},
	}
}
