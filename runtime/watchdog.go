package sturdy

import (
	"fmt"
	"log/slog"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// watchdog looks once a second at who writes and who waits to, has the counts of what was used
// written when nothing else is, and logs what nobody looks at. A write turn that does not end
// stops all others of its vat, and Go cannot end it: all there is to do is to say who it is
// and where it stands, and to let those behind it go.
type watchdog struct {
	rt   *Runtime
	quit chan struct{}
	gone chan struct{}
	turn *WriteTurn // seen running at the last look
	seen int        // looks at which it was
}

const (
	lookEvery  = time.Second
	slowAfter  = 1                // looks after which a turn is reported with its stack
	waitLogged = time.Second      // after which who waits is told what for
	waitLimit  = 10 * time.Second // after which who waits is let go
)

func (rt *Runtime) startWatchdog() *watchdog {
	w := &watchdog{rt: rt, quit: make(chan struct{}), gone: make(chan struct{})}
	go w.run()
	return w
}

func (w *watchdog) stop() {
	close(w.quit)
	<-w.gone
}

func (w *watchdog) run() {
	defer close(w.gone)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look()
		case <-w.quit:
			return
		}
	}
}

func (w *watchdog) look() {
	v := w.rt.vat
	defer v.writeUses()
	defer w.rt.logUnseen(false)
	t := v.running.Load()
	if t != w.turn {
		w.turn, w.seen = t, 0
	} else if t != nil {
		w.seen++
	}
	holder := "nobody"
	if t != nil {
		holder = "turn " + t.op
		if w.seen == slowAfter || w.seen > 0 && w.seen%60 == 0 {
			w.rt.logAside(slog.LevelWarn, "a write turn does not end; all others wait for it, reads go on",
				"turn", t.op, "seconds", w.seen, "stack", turnStack())
		}
	}
	now := w.rt.clock()
	v.w.overdue(func(c *waiter) error { return w.waited(c, now.Sub(c.since), holder) })
}

// waited says what becomes of a caller that has waited for so long.
func (w *watchdog) waited(c *waiter, long time.Duration, holder string) error {
	if c.internal {
		return nil
	}
	text := fmt.Sprintf("has waited %d s for the writer, which %s holds. If this call is made inside that turn, pass it the turn (t), not another context.", int(long.Seconds()), holder)
	if long >= waitLimit {
		return &caps.Error{Op: c.op, Code: caps.ErrNotDelivered, Text: text}
	}
	if long >= waitLogged && !c.logged {
		c.logged = true
		w.rt.logAside(slog.LevelWarn, c.op+" "+text, "holder", holder)
	}
	return nil
}

// turnStack returns the stacks of the goroutines that run a write turn's code.
func turnStack() string {
	buf := make([]byte, 1<<20)
	buf = buf[:goruntime.Stack(buf, true)]
	var found []string
	for s := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(s, "runtime.updateOnce(") || strings.Contains(s, "runtime.(*writeBody[") && strings.Contains(s, ").once(") {
			found = append(found, s)
		}
	}
	return strings.Join(found, "\n\n")
}
