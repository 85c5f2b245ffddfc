package gitgraph_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
)

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = gitgraph.Command(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodesAndWhatIsSaid(t *testing.T) {
	repo, world := awkward(t), filepath.Join(t.TempDir(), "world")
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"-help", 0, "usage: gitgraph", ""},
		{"who -world " + world, 2, "", "who with 0 arguments"},
		{"nonsense", 2, "", "nonsense with 0 arguments is no command"},
		{"-nonsense", 2, "", "flag provided but not defined"},
		{"together -n 0", 2, "", "a number above 0"},
		{"together -x", 2, "", "flag provided but not defined: -x"},
		{"-world " + world + " stats", 1, "", "no world in"},
		{"-world " + world + " -repo " + t.TempDir(), 1, "", "is not a git repository"},
		{"-world " + world + " stats", 1, "", "no world in"},
		{"-world " + world + " -repo " + repo, 0, " commits imported; ", "commits, "},
		{"-world " + world + " -repo " + repo, 0, "0 commits imported; ", "0/0 commits"},
		{"import -repo " + repo + " -world " + world, 0, "0 commits imported; ", "0/0 commits"},
		{"stats -world " + world, 0, "commits ", ""},
		{"who -world " + world + " -- -", 0, "B\\xf6b", ""},
		{"-world " + world + " log -n 1", 0, "together again", ""},
		{"-world " + world + " log -n=2 left", 0, "criss", ""},
		{"-world " + world + " diff v1again orphan", 0, "octopus", ""},
		{"-world " + world + " diff v1again blob", 1, "", "no ref and no commit named"},
		{"-world " + world + " who b.go", 0, "Ann <ann@example.org>", ""},
		{"-world " + world + " who nothing", 1, "", `no commit touched "nothing"`},
		{"-world " + world + " together --n 3", 0, "  ", ""},
	} {
		code, stdout, stderr := command(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("%s: exit code %d\n%s\n%s", c.args, code, stdout, stderr)
		}
	}
}

func TestNothingMovesTheCursor(t *testing.T) {
	repo, world := awkward(t), filepath.Join(t.TempDir(), "world")
	if code, _, stderr := command(t, "-repo", repo, "-world", world); code != 0 {
		t.Fatal(stderr)
	}
	_, stdout, _ := command(t, "-world", world, "log", "-n", "100")
	if strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, `"\x1b[31mred`) {
		t.Errorf("%q", stdout)
	}
}

// TestAnInterruptedImport is what Ctrl-C comes to.
func TestAnInterruptedImport(t *testing.T) {
	repo, world := awkward(t), filepath.Join(t.TempDir(), "world")
	ctx, cancel := context.WithCancel(t.Context())
	var out, stderr bytes.Buffer
	code := gitgraph.Command(ctx, []string{"-repo", repo, "-world", world}, &out, writer(func(p []byte) (int, error) {
		cancel() // at the first line of progress
		return stderr.Write(p)
	}))
	if code != 130 || !strings.Contains(stderr.String(), "run the same command again") {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
	if code, _, stderr := command(t, "-repo", repo, "-world", world); code != 0 {
		t.Fatal(stderr)
	}
	verify(t, open(t, world), repo)
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
