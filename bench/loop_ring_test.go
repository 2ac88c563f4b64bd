package bench_test

// amongMany numbers this end's messages so that each number tells its producer: by the bits below the step. Blocks are
// two rings long at least: while one producer is kept from finishing a message the others fill the ring, and then the
// consumer finds everything there at once; a shorter block would be one or the other, and its median the better.
func (e *end) amongMany(producers, owner, ringMessages int) {
	e.leastBlock = 2 * ringMessages
	for e.step < uint64(producers) {
		e.step *= 2
	}
	if owner > 0 {
		e.sent = uint64(owner - 1)
		return
	}
	e.many, e.open = producers, producers
	for p := range e.step {
		e.crowd = append(e.crowd, p)
	}
}

// consumeCrowd is consumeRing with many producers. The last message is the last producer's; the others' do not count
// either.
func (e *end) consumeCrowd(r *ringLink, n int) (k int, last bool, err error) {
	for k < n {
		msg, err := r.consumer.Receive(background, e.buf)
		if err != nil {
			return k, false, err
		}
		if len(msg) != len(e.buf) {
			return k, false, lengthError(len(msg), len(e.buf))
		}
		num := number(e.buf)
		next := &e.crowd[num&(e.step-1)]
		if num&^lastFlag != *next || !e.pattern.intact(e.buf, num) {
			return k, false, e.spoilt("message", *next)
		}
		*next += e.step
		if num&lastFlag == 0 {
			k++
			continue
		}
		if e.open--; e.open == 0 {
			e.open = e.many
			return k, true, nil
		}
	}
	return n, false, nil
}

// blastInPlace is blast without a copy: messages are written where they lie in the ring.
func (e *end) blastInPlace(r *ringLink, n int) error {
	for range n {
		c, err := r.producer.Claim(background, len(e.msg))
		if err != nil {
			return err
		}
		e.pattern.fill(c.Bytes(), e.sent)
		e.sent += e.step
		c.Commit()
	}
	return nil
}

// consumeInPlace is consumeRing without a copy: every message is added up where it lies in the ring.
func (e *end) consumeInPlace(r *ringLink, n int) (k int, last bool, err error) {
	for k = range n {
		view, err := r.consumer.Next(background)
		if err != nil {
			return k, false, err
		}
		msg := view.Bytes()
		if len(msg) != len(e.buf) {
			return k, false, lengthError(len(msg), len(e.buf))
		}
		num := number(msg)
		if num&^lastFlag != e.received || sum(msg) != e.sums.of(e.pattern, len(msg), num) {
			copy(e.buf, msg)
			return k, false, e.spoilt("message", e.received)
		}
		e.received++
		view.Release()
		if num&lastFlag != 0 {
			return k, true, nil
		}
	}
	return n, false, nil
}
