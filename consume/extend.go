package consume

import (
	"context"
	"time"
)

// extend calls the message's Extend at its times, for the longest time at most, until the function that it returns is called. That function
// waits for a call that is under way.
func extend(ctx context.Context, m *Message, longest time.Duration) (stop func()) {
	if m.Extend == nil || m.ExtendEvery <= 0 {
		return func() {}
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	done := make(chan struct{})

	go func() {
		defer close(done)

		ticker := time.NewTicker(m.ExtendEvery)
		defer ticker.Stop()

		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				once, over := context.WithTimeout(ctx, m.ExtendEvery)
				_ = m.Extend(once) // which reports it

				over()
			}
		}
	}()

	return func() {
		cancel()
		<-done
	}
}
