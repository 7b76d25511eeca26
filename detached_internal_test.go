package onlyonce

import "testing"

// A caller may leave at the moment its run ends. A place taken from the quota then would never be returned.
func TestF65RunThatHasEndedDoesNotCountAsDetached(t *testing.T) {
	t.Parallel()

	var p presence

	if p.end() {
		t.Error("a run whose caller stays was counted")
	}

	room := p.leave(func() bool {
		t.Error("a run that has ended takes room")

		return false
	})

	if !room {
		t.Error("a run that has ended is cancelled")
	}

	if p.watchOnce() {
		t.Error("the caller of a run that has ended is watched")
	}
}

// A caller's context may outlive its calls. It must not keep their runs in memory.
func TestWatchOfACallerEndsWithItsRun(t *testing.T) {
	t.Parallel()

	for name, order := range map[string]func(p *presence, unwatch func() bool){
		"the watch begins before the end": func(p *presence, unwatch func() bool) {
			p.watchedUntil(unwatch)
			p.end()
		},
		"the run ends while its watch begins": func(p *presence, unwatch func() bool) {
			p.end()
			p.watchedUntil(unwatch)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var p presence

			if !p.watchOnce() || p.watchOnce() {
				t.Error("a caller is not watched once")
			}

			ended := 0

			order(&p, func() bool {
				ended++

				return true
			})

			if ended != 1 {
				t.Errorf("the watch has ended %d times, want 1", ended)
			}

			if p.watchOnce() {
				t.Error("the caller of a run that has ended is watched")
			}
		})
	}
}
