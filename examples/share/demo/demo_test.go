package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/internal/programtest"
	"github.com/sturdyrt/sturdy/examples/share"
)

// TestMain is the program itself where a test has started it as such.
func TestMain(m *testing.M) {
	programtest.Main(m, inWorld, func(dir string) error { return run(context.Background(), dir, os.Stdout) })
}

const inWorld = "SHARE_DEMO_WORLD"

// told is what the program prints from beginning to end.
func told(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), dir, &out); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	return out.String()
}

// hosts hides what differs from world to world.
var hosts = regexp.MustCompile(`sturdy://[a-z2-7]{32}/`)

// The README shows what the program prints, line for line.
func TestTheReadmeTellsTheSameStory(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for line := range strings.Lines(string(readme)) {
		if text, ok := strings.CutPrefix(line, "    "); ok {
			shown.WriteString(text)
		}
	}
	dir := filepath.Join(t.TempDir(), "world")
	first := hosts.ReplaceAllString(told(t, dir), "sturdy://.../")
	if !strings.Contains(shown.String(), "$ go run ./examples/share/demo\n"+first) {
		t.Errorf("README.md does not have:\n%s", first)
	}
	second := told(t, dir)
	if strings.Contains(second, "gives") || strings.Contains(second, "takes back") || !strings.Contains(second, "uses 3\n") {
		t.Errorf("the second run does not go on where the first ended:\n%s", second)
	}
}

// tags are the secrets of the keys in a directory.
func tags(t *testing.T, dir string) (list []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir+".keys", "*.key"))
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		key, err := share.ReadKey(f)
		if err != nil {
			t.Fatal(err)
		}
		text := key.Reveal()
		list = append(list, text[strings.LastIndexByte(text, '/')+1:])
	}
	return list
}

func TestNoKeyIsPrintedNorInTheWorld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	places := map[string]string{"the output": told(t, dir) + told(t, dir)}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		places[f.Name()] = string(content)
	}
	for place, text := range places {
		for _, tag := range tags(t, dir) {
			if strings.Contains(text, tag) {
				t.Error(place, "holds a key")
			}
		}
	}
}

// The program is killed behind each line that it prints. The next run tells the rest: in the
// end the branch is taken back, and the others are not disturbed.
func TestKilledAtAnyLine(t *testing.T) {
	lines := strings.Count(told(t, filepath.Join(t.TempDir(), "world")), "\n")
	for n := range lines {
		dir := filepath.Join(t.TempDir(), "world")
		kill(t, dir, n)
		all := told(t, dir) + told(t, dir)
		_, last, _ := strings.Cut(all[strings.LastIndex(all, "ed edits"):], "\n")
		for _, want := range []string{"ian comments: NO, the key opens nothing\n", "carl comments\n", ", revoked\n", ", ended\n"} {
			if !strings.Contains(last, want) {
				t.Errorf("killed behind line %d, and then:\n%s", n, all)
			}
		}
		tags(t, dir)
	}
}

// kill starts the program and kills it when it has printed n lines.
func kill(t *testing.T, dir string, n int) {
	t.Helper()
	cmd := programtest.Command(t.Context(), inWorld, dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for range n {
		if _, err := in.ReadString('\n'); err != nil {
			break
		}
	}
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, in)
	_ = cmd.Wait()
}
