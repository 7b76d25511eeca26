package backlog

// Lanes is how many lanes there are. A lane without tasks must not stay.
func (b *Backlog) Lanes() int {
	b.mu.Lock()
	defer b.mu.Unlock()

	return len(b.lanes)
}
