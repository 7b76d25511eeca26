package store_test

// The transition table, written out. A row is
//
//	operation state token fence fingerprint guarantee detail -> applied state fencing token
//
// On the left, a column may name several values, or all of them by "*". On the right are the result, the state afterwards, by how much
// the fence rises, and whose token the record has. Every combination is covered by exactly one row. The results:
//
//	applied    applied, and the record has changed
//	unchanged  applied before
//	raised     not applied, but the record has a new fence
//	-          not applied, and the record is unchanged
//
// The values:
//
//	state        absent gone (present, past its retention) alive ended (RUNNING, by the lease)
//	             unknown released completed
//	token        same other
//	fence        zero equal unequal (the fence of the operation)
//	fingerprint  same other scheme (cannot be compared)
//	guarantee    strict (record or claim has AT_MOST_ONCE) lax
//	detail       complete: same other (outcome); resolve: see below
const transitionTable = `
claim   absent,gone   *      zero           *            *       *  -> applied   RUNNING   +1 its
claim   absent,gone   *      equal,unequal  *            *       *  -> -

claim   alive,ended,unknown,released,completed
                      *      *              other        *       *  -> -

claim   alive         same   *              same,scheme  *       *  -> unchanged RUNNING   +0 kept
claim   alive         other  *              same,scheme  *       *  -> -

claim   ended         same   *              same,scheme  *       *  -> applied   RUNNING   +1 kept
claim   ended         other  *              same,scheme  strict  *  -> -
claim   ended         other  equal          same,scheme  lax     *  -> applied   RUNNING   +1 its
claim   ended         other  zero,unequal   same,scheme  lax     *  -> -

claim   unknown       *      *              same,scheme  *       *  -> -

claim   released      same   *              same,scheme  *       *  -> -
claim   released      other  equal          same,scheme  *       *  -> applied   RUNNING   +1 its
claim   released      other  zero,unequal   same,scheme  *       *  -> -

claim   completed     *      *              same,scheme  *       *  -> -

renew   absent,gone,unknown,released,completed
                      *      *              *            *       *  -> -
renew   alive         same   *              *            *       *  -> applied   RUNNING   +0 kept
renew   ended         same   *              *            *       *  -> applied   RUNNING   +1 kept
renew   alive,ended   other  *              *            *       *  -> -

complete absent,gone,released
                      *      *              *            *       *  -> -
complete alive,ended,unknown
                      same   *              *            *       *  -> applied   COMPLETED +0 kept
complete alive,ended,unknown,completed
                      other  *              *            *       *  -> -
complete completed    same   *              *            *    same  -> unchanged COMPLETED +0 kept
complete completed    same   *              *            *    other -> -

release absent,gone   *      *              *            *       *  -> applied   RELEASED  +1 its
release alive,ended,unknown
                      same   *              *            *       *  -> applied   RELEASED  +0 kept
release alive,ended   other  equal          *            *       *  -> raised    RUNNING   +1 kept
release unknown       other  equal          *            *       *  -> raised    UNKNOWN   +1 kept
release released      same   *              *            *       *  -> unchanged RELEASED  +0 kept
release released      other  equal          *            *       *  -> raised    RELEASED  +1 kept
release alive,ended,unknown,released
                      other  zero,unequal   *            *       *  -> -
release completed     *      *              *            *       *  -> -

hold    alive,ended   same   *              *            *       *  -> applied   UNKNOWN   +0 kept
hold    unknown       same   *              *            *       *  -> unchanged UNKNOWN   +0 kept
hold    alive,ended,unknown
                      other  *              *            *       *  -> -
hold    absent,gone,released,completed
                      *      *              *            *       *  -> -

`

// forgettingTable has the rows of forget: state, the token and the fence of the operation, whether the owner may still
// be alive, and whether forget is forced.
const forgettingTable = `
absent,gone     *                    *                           *        *   -> unchanged ABSENT
alive           same                 equal                       *        no  -> -
ended,unknown   same                 equal                       living   no  -> -
ended,unknown   same                 equal                       dead     no  -> applied   ABSENT
released,completed,resolved-released,resolved-completed
                same                 equal                       *        no  -> applied   ABSENT
newer           same                 equal                       *        no  -> -
alive,ended,unknown,released,completed,resolved-released,resolved-completed,newer
                same                 equal                       *        yes -> applied   ABSENT
alive,ended,unknown,released,completed,resolved-released,resolved-completed,newer
                other                *                           *        *   -> -
alive,ended,unknown,released,completed,resolved-released,resolved-completed,newer
                same                 zero,unequal                *        *   -> -
`

// resolutionTable has the rows of resolve: state, the fence of the operation, the state that it sets, and whether the
// owner may still be alive.
const resolutionTable = `
absent,gone,alive,released,completed
                *                    *                           *        -> -
ended,unknown   zero,unequal         *                           *        -> -
ended,unknown   equal                COMPLETED                   *        -> applied   COMPLETED
ended,unknown   equal                RELEASED                    dead     -> applied   RELEASED
ended,unknown   equal                RELEASED                    living   -> -
ended,unknown   equal                ABSENT,RUNNING,UNKNOWN,OTHER *       -> -

resolved-completed equal             COMPLETED                   *        -> unchanged COMPLETED
resolved-completed equal             RELEASED,ABSENT,RUNNING,UNKNOWN,OTHER * -> -
resolved-completed zero,unequal      *                           *        -> -
resolved-released  equal             RELEASED                    *        -> unchanged RELEASED
resolved-released  equal             COMPLETED,ABSENT,RUNNING,UNKNOWN,OTHER * -> -
resolved-released  zero,unequal      *                           *        -> -
`
