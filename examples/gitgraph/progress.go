package gitgraph

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows how far an import is: on a terminal as one line that is rewritten, else as
// a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	begun    time.Time
	shown    time.Time
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, begun: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// show says that done of total commits are imported.
func (p *progress) show(done, total int) {
	now := time.Now()
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if done == 0 {
		p.begun = now // git has been asked what there is
	}
	if done != total && now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	line := fmt.Sprintf("%d/%d commits", done, total)
	if took := now.Sub(p.begun); done > 0 && took > 0 {
		line += fmt.Sprintf(", %.0f/s", float64(done)/took.Seconds())
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// end leaves the line.
func (p *progress) end() {
	if p.terminal && !p.shown.IsZero() {
		fmt.Fprintln(p.w)
	}
}
