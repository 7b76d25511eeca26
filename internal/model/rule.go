package model

import "github.com/onlyonce-go/onlyonce/store"

// Rule is a fault with the property that it violates.
type Rule struct {
	Fault     Fault
	Guarantee store.Guarantee
	Breaks    Property
}

// Rules returns all faults, each with a guarantee under which it shows.
func Rules() []Rule {
	return []Rule{
		{ClaimWithoutFence, store.AtMostOnce, NoLateWin},
		{NoOwnerCheck, store.AtLeastOnce, NoFalseLoss},
		{OwnClaimUnknown, store.AtMostOnce, NoFalseLoss},
		{OutcomeNotCompared, store.AtMostOnce, OneAnswer},
		{RepeatRefused, store.AtMostOnce, NoFalseLoss},
		{NoFenceAtRevival, store.AtMostOnce, FenceRises},
		{NoRelease, store.AtMostOnce, NoLateWin},
		{NoTombstone, store.AtMostOnce, NoLateWin},
		{FingerprintIgnored, store.AtMostOnce, OneRequest},
		{FenceResetAtRelease, store.AtMostOnce, FenceRises},
		{NoFenceAtTakeover, store.AtLeastOnce, FenceRises},
		{ExpiryWithLease, store.AtMostOnce, FenceRises},
		{TakeoverAtMostOnce, store.AtMostOnce, AtMostOneEffect},
		{LateOverResolution, store.AtMostOnce, CompletedStays},
		{CarelessResolver, store.AtMostOnce, AtMostOneEffect},
		{DoubtForgotten, store.AtLeastOnce, NoFalseRelease},
		{NoReviverLife, store.AtMostOnce, AtMostOneEffect},
		{NoResolver, store.AtMostOnce, NoDeadEnd},
		{OvertakenNotAsked, store.AtLeastOnce, OwnReplayCheck},
		{CommitNotAsked, store.ExactlyOnce, OwnReplayCheck},
		{WaiterNotAsked, store.AtMostOnce, OwnReplayCheck},
		{OperatorsRetention, store.AtMostOnce, SettledIsKept},
		{LifeIsRetention, store.AtMostOnce, OldKeyRests},
		{NoKeyLife, store.AtMostOnce, OldKeyRests},
		{TombstoneProves, store.AtLeastOnce, OldKeyRests},
		{AskedOnce, store.AtLeastOnce, AskedFirst},
		{AnswerAboutAnother, store.AtLeastOnce, AskedFirst},
		{ForgottenAlive, store.AtMostOnce, AtMostOneEffect},
		{ForgottenByFence, store.AtMostOnce, NoLateWin},
	}
}

// Config returns a check that finds the counterexample.
func (r Rule) Config() Config {
	const enough = 2_000_000

	config := Config{Guarantee: r.Guarantee, Calls: 2, Fault: r.Fault, MaxStates: enough}

	switch r.Fault { //nolint:exhaustive // the other rules need no more
	case FingerprintIgnored:
		config.TwoRequests = true
	case OvertakenNotAsked, CommitNotAsked, WaiterNotAsked:
		config.Private = true
	case OperatorsRetention:
		config.Days = true
	case LifeIsRetention, NoKeyLife, TombstoneProves:
		config.TimeOrdered = true
	case AskedOnce, AnswerAboutAnother:
		config.Recovery = true
	case ForgottenAlive, ForgottenByFence:
		config.Forgets = true
	}

	return config
}

// Properties returns all checked properties.
func Properties() []Property {
	return []Property{
		AtMostOneEffect, OneAnswer, FenceRises, NoFalseLoss, CompletedStays, NoLateWin, NoFalseRelease, OneRequest, NoDeadEnd,
		OwnReplayCheck, SettledIsKept, OldKeyRests, AskedFirst,
	}
}
