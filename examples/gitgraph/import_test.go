package gitgraph_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// open opens the world in dir, or one in memory, where turns are checked for purity.
func open(t *testing.T, dir string) *sturdy.Runtime {
	t.Helper()
	rt, err := sturdy.Options{Dir: dir, Kinds: []sturdy.Kind{gitgraph.Kinds}, Checked: dir == ""}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	return rt
}

func imported(t *testing.T, rt *sturdy.Runtime, dir string) gitgraph.Report {
	t.Helper()
	report, err := gitgraph.Import(t.Context(), rt, dir, gitgraph.Options{Batch: 20})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAnAwkwardRepository(t *testing.T) {
	dir, rt := awkward(t), open(t, "")
	imported(t, rt, dir)
	verify(t, rt, dir)
	if again := imported(t, rt, dir); again.Imported != 0 {
		t.Errorf("the second import found %d commits", again.Imported)
	}
	verify(t, rt, dir)
}

func TestARepositoryOfYours(t *testing.T) {
	if *extern == "" {
		t.Skip("name one with -repo")
	}
	rt, err := sturdy.Open(cmp.Or(*externWorld, filepath.Join(t.TempDir(), "world")), gitgraph.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	report, err := gitgraph.Import(t.Context(), rt, *extern, gitgraph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", report)
	verify(t, rt, *extern)
}

func TestTheLinesOfACommit(t *testing.T) {
	dir, rt := awkward(t), open(t, "")
	imported(t, rt, dir)
	nodes := read(t, rt)
	for rev, want := range map[string]map[string][2]int64{
		"main~7^{/binary}": {"a.go": {1, 0}, "pic": {-1, -1}},
		"main^{/rename}":   {"a.go": {0, 3}, "b.go": {3, 0}, "copy": {1, 0}},
		"main^{/octopus}":  {},
	} {
		n := nodes[strings.TrimSpace(git(t, dir, "rev-parse", rev))]
		for path, lines := range want {
			if n.changes[path] != lines {
				t.Errorf("%s: %s has %d lines", rev, path, n.changes[path])
			}
		}
		if len(n.changes) != len(want) {
			t.Errorf("%s touches %d files", rev, len(n.changes))
		}
	}
}

func TestAnEmptyRepository(t *testing.T) {
	dir, rt := filepath.Join(t.TempDir(), "empty"), open(t, "")
	git(t, t.TempDir(), "init", "-q", dir)
	imported(t, rt, dir)
	verify(t, rt, dir)
}

func TestWhatIsNoRepository(t *testing.T) {
	rt := open(t, "")
	_, err := gitgraph.Import(t.Context(), rt, t.TempDir(), gitgraph.Options{})
	if err == nil || !strings.Contains(err.Error(), "is not a git repository") {
		t.Error(err)
	}
	if _, err := gitgraph.Of(t.Context(), rt); !errors.Is(err, sturdy.ErrNoName) {
		t.Error("it has left a graph:", err)
	}
}

// TestAnImportStoppedAfterEveryBatch stops the import after each batch, and closes the world.
func TestAnImportStoppedAfterEveryBatch(t *testing.T) {
	dir, world := awkward(t), filepath.Join(t.TempDir(), "world")
	for runs := 0; ; runs++ {
		rt := open(t, world)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stopped")
		report, err := gitgraph.Import(ctx, rt, dir, gitgraph.Options{Batch: 3, Progress: func(done, total int) {
			if done > 0 && done < total {
				cancel(stop)
			}
		}})
		cancel(nil)
		if err != nil && !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if err == nil {
			if runs < 5 {
				t.Errorf("it was stopped only %d times", runs)
			}
			verify(t, rt, dir)
			return
		}
		if report.Imported == 0 {
			t.Fatal("no progress")
		}
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAKilledImportGoesOn kills the importing process, each time after some more batches.
func TestAKilledImportGoesOn(t *testing.T) {
	dir, world := awkward(t), filepath.Join(t.TempDir(), "world")
	r := rand.New(rand.NewPCG(*seed, 3))
	for kills := 0; kills < 5; kills++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "GITGRAPH_IMPORT="+dir, "GITGRAPH_WORLD="+world)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		gone, held, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{held} // its git processes inherit it
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + r.IntN(4) {
			lines.Scan()
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = held.Close()
		// A git that was about to start has the lock of the world until it has started.
		if _, err := io.Copy(io.Discard, gone); err != nil {
			t.Fatal(err)
		}
		_ = gone.Close()
		rt := open(t, world)
		if err := rt.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
	}
	rt := open(t, world)
	imported(t, rt, dir)
	verify(t, rt, dir)
}

// TestNewCommitsAndMovedBranches imports a repository that changes: commits are added, a
// branch is forced back, another one deleted, one renamed.
func TestNewCommitsAndMovedBranches(t *testing.T) {
	dir, rt := filepath.Join(t.TempDir(), "grows.git"), open(t, "")
	s := &stream{}
	var chain []int
	for i := range 10 {
		parent := 0
		if i > 0 {
			parent = chain[i-1]
		}
		chain = append(chain, s.commit(made{branch: main, from: parent, message: fmt.Sprint("commit ", i), files: map[string]string{"f": fmt.Sprint(i), fmt.Sprint("g", i%3): fmt.Sprint(i)}}))
		if i == 5 {
			s.WriteString("reset refs/heads/old\nfrom :6\n\n")
		}
	}
	s.into(t, dir)
	if r := imported(t, rt, dir); r.Imported != 10 {
		t.Fatal(r)
	}
	s.commit(made{branch: main, from: chain[9], message: "newer", files: map[string]string{"f": "newer"}})
	s.commit(made{branch: "refs/heads/side", from: chain[3], merge: []int{chain[7]}, message: "a merge of the old", files: map[string]string{"f": "side"}})
	s.WriteString("reset refs/heads/moved\nfrom :3\n\n")
	s.into(t, dir)
	git(t, dir, "branch", "-D", "old")
	if r := imported(t, rt, dir); r.Imported != 2 || r.Total != 12 {
		t.Fatal(r)
	}
	verify(t, rt, dir)
	git(t, dir, "branch", "-f", "side", "main~4")
	git(t, dir, "branch", "-m", "moved", "other")
	if r := imported(t, rt, dir); r.Imported != 0 || r.Total != 12 {
		t.Fatal("what no ref reaches any more stays:", r)
	}
	sameRefs(t, rt, dir)
}

func TestAShallowClone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep.git")
	s := &stream{}
	last := 0
	for i := range 10 {
		last = s.commit(made{branch: main, from: last, message: fmt.Sprint(i), files: map[string]string{"f": fmt.Sprint(i)}})
	}
	s.into(t, dir)
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, t.TempDir(), "clone", "-q", "--bare", "--depth", "4", "file://"+dir, clone)
	rt := open(t, "")
	if r := imported(t, rt, clone); r.Imported != 4 {
		t.Fatal(r)
	}
	verify(t, rt, clone)
	git(t, clone, "fetch", "-q", "--deepen", "2")
	if _, err := gitgraph.Import(t.Context(), rt, clone, gitgraph.Options{}); !errors.Is(err, gitgraph.ErrDeepened) {
		t.Fatal("deepened:", err)
	}
}

// TestABlobIsMissing imports a repository that lacks what two of its commits have written.
func TestABlobIsMissing(t *testing.T) {
	dir, rt := awkward(t), open(t, "")
	for _, pack := range must(filepath.Glob(filepath.Join(dir, "objects/pack/*.pack"))) {
		content := must(os.ReadFile(pack))
		for _, f := range must(filepath.Glob(strings.TrimSuffix(pack, ".pack") + ".*")) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		gitWith(t, dir, string(content), "unpack-objects", "-q") // a file for each object
	}
	for _, rev := range []string{"main^{/names}:-", "right^:b.go"} {
		hash := strings.TrimSpace(git(t, dir, "rev-parse", rev))
		if err := os.Remove(filepath.Join(dir, "objects", hash[:2], hash[2:])); err != nil {
			t.Fatal(err)
		}
	}
	imported(t, rt, dir)
	verify(t, rt, dir)
	n := read(t, rt)[strings.TrimSpace(git(t, dir, "rev-parse", "main^{/names}"))]
	if n.changes["new\nline"] != [2]int64{-1, -1} {
		t.Error("its lines are", n.changes["new\nline"])
	}
}
