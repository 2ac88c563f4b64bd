package sem

// SleepForever lifts the bound on one wait, which would repair what a test wants to see fail.
func (w *FutexWaiter) SleepForever() { w.limit = -1 }

// AboutToSleep puts the waiter where a Wait is that has looked for interrupts and has not slept yet.
func (w *FutexWaiter) AboutToSleep() { w.enter() }

// Awake ends what AboutToSleep began.
func (w *FutexWaiter) Awake() { w.leave() }
