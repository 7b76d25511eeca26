package model

// Fault turns off one rule.
type Fault string

// The faults, each with the violated rule of package store.
const (
	NoFault Fault = ""
	// ClaimWithoutFence breaks rule 1: a claim wins whatever fence it expects.
	ClaimWithoutFence Fault = "rule 1: a claim names no fence"
	// NoOwnerCheck breaks rule 2: a completion is not fenced by the owner's token.
	NoOwnerCheck Fault = "rule 2: a completion is not checked for its owner"
	// OwnClaimUnknown breaks rule 3: a copy of a claim that has won is answered as if another owner was running.
	OwnClaimUnknown Fault = "rule 3: an own claim is not recognised"
	// OutcomeNotCompared breaks rule 3: a completion that finds another outcome counts as its own repeat.
	OutcomeNotCompared Fault = "rule 3: a repeated completion is not compared"
	// RepeatRefused breaks rule 3: a copy of a completion is refused as too late.
	RepeatRefused Fault = "rule 3: a repeated completion is not recognised"
	// NoFenceAtRevival breaks rule 3: an ended lease is revived under the old fence.
	NoFenceAtRevival Fault = "rule 3: a revival does not raise the fence"
	// NoRelease breaks rule 4: a claim that was given up is not released.
	NoRelease Fault = "rule 4: a claim given up is not released"
	// NoTombstone breaks rule 4: a release leaves nothing where there is no record.
	NoTombstone Fault = "rule 4: a release leaves no tombstone"
	// FingerprintIgnored breaks rule 5: a key that was released, or whose lease has ended, may be used for another request.
	FingerprintIgnored Fault = "rule 5: the fingerprint is not compared"
	// FenceResetAtRelease breaks rule 6: a released record starts over.
	FenceResetAtRelease Fault = "rule 6: the fence is reset at release"
	// NoFenceAtTakeover breaks rule 6: a new run has the fence of the old one.
	NoFenceAtTakeover Fault = "rule 6: a takeover does not raise the fence"
	// ExpiryWithLease breaks rule 7: a running record disappears with its lease.
	ExpiryWithLease Fault = "rule 7: a running record expires with its lease"
	// TakeoverAtMostOnce breaks the guarantee: an ended lease is taken over under AtMostOnce.
	TakeoverAtMostOnce Fault = "AT_MOST_ONCE: takeover is allowed"
	// LateOverResolution breaks rule 10: a late owner overwrites a resolution.
	LateOverResolution Fault = "rule 10: a late owner overwrites a resolution"
	// CarelessResolver breaks rule 11: an operator settles a record as not executed while the owner may be alive.
	CarelessResolver Fault = "rule 11: resolved as not executed while the owner may be alive"
	// DoubtForgotten breaks the rule of doubt: NotExecuted of a later run also counts for earlier runs of the key.
	DoubtForgotten Fault = "doubt: a run that did nothing speaks for an earlier one that may have"
	// NoReviverLife breaks rule 11: a claim that revives its ended lease does not prolong the time in which its owner
	// may be alive.
	NoReviverLife Fault = "rule 11: a claim won back late counts from its first arrival"
	// NoResolver removes the operator.
	NoResolver Fault = "no operator: nobody resolves"
	// OvertakenNotAsked breaks the replay check: an owner that was overtaken gets the winner's answer without the check.
	OvertakenNotAsked Fault = "replay check: an overtaken owner is answered without it"
	// CommitNotAsked breaks the replay check: a transaction that finds another answer at its commit gets it without the check.
	CommitNotAsked Fault = "replay check: a transaction that cannot commit is answered without it"
	// WaiterNotAsked breaks the replay check: a call that has waited gets the answer without the check.
	WaiterNotAsked Fault = "replay check: a call that has waited is answered without it"
	// OperatorsRetention breaks rule 12: an operator's resolution gets the engine's retention, not the record's.
	OperatorsRetention Fault = "rule 12: an operator settles with a shorter retention"
	// LifeIsRetention breaks the life of keys: it is the retention, and is raised with it at once.
	LifeIsRetention Fault = "key life: it is raised together with the retention"
	// NoKeyLife breaks the life of keys: a key of any age makes a record.
	NoKeyLife Fault = "key life: an old key makes a record"
	// TombstoneProves breaks the life of keys: the tombstone of a late release counts as the record of an old key.
	TombstoneProves Fault = "key life: an old key runs on what a late release has left behind"
	// AskedOnce breaks recovery: a call calls the recovery function once, even if the record gets another owner.
	AskedOnce Fault = "recovery: a call asks once, not about each owner"
	// AnswerAboutAnother breaks recovery: a call accepts a finding about an earlier owner.
	AnswerAboutAnother Fault = "recovery: a call takes an answer about an earlier owner"
	// ForgottenAlive breaks rule 13: a record is forgotten while its owner may be alive.
	ForgottenAlive Fault = "rule 13: forgotten while the owner may be alive"
	// ForgottenByFence breaks rule 13: a late copy of a forgetting is not recognised by the token.
	ForgottenByFence Fault = "rule 13: a forgetting does not name the owner"
)
