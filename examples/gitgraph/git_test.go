package gitgraph

import (
	"context"
	"errors"
	"os/exec"
	"testing"
)

// TestAGitThatDiesLeavesNothingHalf gives finish a commit that was being read when git ended
// in each of the ways in which it can.
func TestAGitThatDiesLeavesNothingHalf(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		name, script      string
		ctx               context.Context
		whole, lacks, bad bool
	}{
		{"well", "exit 0", t.Context(), true, false, false},
		{"killed", "kill -9 $$", t.Context(), false, false, true},
		{"for lack of memory", "exit 1", t.Context(), false, false, true},
		{"for lack of a blob", "exit 128", t.Context(), false, true, true},
		{"interrupted with us", "exit 128", stopped, false, false, true},
	} {
		ended := exec.Command("sh", "-c", c.script).Run()
		p, had := &parser{rest: &entry{hash: hashA}}, 0
		done, err := new(repository).finish(c.ctx, ended, "what git says", p, 1, 0, func(*entry) error { had++; return nil })
		var lacking *lackingError
		if whole := done == 1 && had == 1; whole != c.whole || errors.As(err, &lacking) != c.lacks || (err != nil) != c.bad {
			t.Errorf("%s: %d done, %d had, %v", c.name, done, had, err)
		}
	}
}
