//go:build shmsteps

package ring

// Joiner is what [Join] does, one try at a time: a schedule has a clock of its own.
type Joiner = joiner

// NewJoiner returns the joiner of a producer region.
var NewJoiner = newJoiner

// Try joins if there is a number now.
func (j *joiner) Try() (*Producer, error) { return j.join() }
