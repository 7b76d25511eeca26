package main

// sentence is a promise of the README and the tests that fail when it is broken.
type sentence struct {
	promise string
	tests   []string
}

// sentences are the guarantees of the README, one by one.
func sentences() []sentence {
	return []sentence{
		{
			"`AtMostOnce`: the handler never runs again by itself; callers get `OUTCOME_UNKNOWN` until the late owner, a " +
				"recovery function or a person settles it.",
			[]string{
				"TestTheRulesHaveNoCounterexample", "TestF03KilledInsideTheHandlerAfterTheEffect",
				"TestF17LateOwnerSettlesItsOwnUnknownRecord", "TestF04RecoveryThatFindsTheEffectRecordsIt",
				"TestF32_WhatBecomesOfEveryCode",
			},
		},
		{
			"`AtLeastOnce`: the next duplicate runs it again with a higher fencing token; after a run that never ended, at most " +
				"`MaxAttempts` runs in a row.",
			[]string{
				"TestF16OvertakenOwnerGetsTheWinnersOutcome", "TestWaitTakesOverAsSoonAsTheLeaseEnds",
				"TestF55ARequestThatKillsItsProcessRunsMaxAttemptsTimes",
			},
		},
		{
			"`ExactlyOnce` is refused where the store cannot hold it.",
			[]string{"TestPoliciesThatCannotHoldAreReported"},
		},
		{
			"One run at a time holds a key.",
			[]string{
				"TestF22ThousandDuplicatesAtOnceRunOnceAndCostTheStoreOneClaim", "TestF22_ThousandDuplicatesAtOnceGetTheOneAnswer",
				"TestF18CompletionAndTakeoverAtOnceHaveOneWinner",
			},
		},
		{
			"Every recorded answer is the same for everyone: code, message, details, response bytes, and the header and trailer " +
				"metadata that the handler set.",
			[]string{"TestF05_ConnectionCutBeforeTheReply", "TestF05_ClientGetsTheRecordedAnswerOverANewConnection"},
		},
		{
			"A key is bound to its first request. Another request under it is rejected, whatever became of the first.",
			[]string{"TestF24OtherRequestUnderTheSameKeyIsRefusedInEveryState", "TestF24_KeyReusedOnEveryPath"},
		},
		{
			"A run goes on when its caller has gone; `MaxRun` bounds it.",
			[]string{"TestF20RunGoesOnAndIsRecordedWhenItsCallerCancels", "TestF20_CallerCancelsWhileTheHandlerRuns"},
		},
		{
			"A lost reply of the store neither runs the handler twice nor locks the key.",
			[]string{
				"TestF09LostClaimReplyRunsOnce", "TestF11LostCompletionReplyIsRecognisedAsOwnWork",
				"TestF54ClaimThatLandsAfterItsReleaseLoses",
			},
		},
		{
			"Nothing that carries a key runs silently without protection.",
			[]string{
				"TestF06_NothingRunsWhileTheStoreIsDown", "TestF06_FailOpenRunsOnlyWhereTheMethodSaysSo",
				"TestF41FullStoreRefusesANewKeyAndServesTheOldOnes",
			},
		},
		{
			"Nobody is told that nothing happened while the effect is there.",
			[]string{"TestTheRulesHaveNoCounterexample", "TestNotExecutedAfterADoubtfulRunIsUnknown"},
		},
	}
}
