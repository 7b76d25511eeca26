package child

// Abandon closes the input of the process, as the end of its parent does.
func (p *Process) Abandon() error { return p.stdin.Close() }
