package gitgraph_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// history is a small repository, as git fast-import reads it.
const history = `commit refs/heads/main
mark :1
author Ann <ann@example.org> 1700000000 +0000
committer Ann <ann@example.org> 1700000000 +0000
data <<.
begin
.
M 100644 inline main.go
data <<.
package main
.
M 100644 inline README.md
data <<.
# Hello
.

commit refs/heads/main
mark :2
author Bob <bob@example.org> 1700100000 +0000
committer Bob <bob@example.org> 1700100000 +0000
data <<.
say something
.
from :1
M 100644 inline main.go
data <<.
package main

func main() { println("hello") }
.
M 100644 inline README.md
data <<.
# Hello, world
.

commit refs/heads/next
author Ann <ann@example.org> 1700200000 +0000
committer Ann <ann@example.org> 1700200000 +0000
data <<.
say more
.
from :2
M 100644 inline main.go
data <<.
package main

func main() { println("hello, world") }
.
`

func repository(dir string) (string, error) {
	path := filepath.Join(dir, "repository.git")
	if err := exec.Command("git", "init", "-q", "--bare", "-b", "main", path).Run(); err != nil {
		return "", err
	}
	load := exec.Command("git", "-C", path, "fast-import", "--quiet")
	load.Stdin = strings.NewReader(history)
	return path, load.Run()
}

func Example() {
	dir, err := os.MkdirTemp("", "gitgraph")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	repo, err := repository(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, world := context.Background(), filepath.Join(dir, "world")
	for _, command := range []string{"import", "log next", "who main.go", "diff next main", "together", "stats"} {
		fmt.Println("$ gitgraph", command)
		args := append([]string{"-repo", repo, "-world", world}, strings.Fields(command)...)
		if code := gitgraph.Command(ctx, args, os.Stdout, io.Discard); code != 0 {
			fmt.Println("exit code", code)
		}
	}
	// Output:
	// $ gitgraph import
	// 3 commits imported; 3 commits and 3 refs in the graph
	// $ gitgraph log next
	// 6ade0af4409a  2023-11-17  Ann: say more
	// 4475dfbea187  2023-11-16  Bob: say something
	// 21f656c56fed  2023-11-14  Ann: begin
	// $ gitgraph who main.go
	//      2       +2      -1  Ann <ann@example.org>
	//      1       +2      -0  Bob <bob@example.org>
	// $ gitgraph diff next main
	// 6ade0af4409a  2023-11-17  Ann: say more
	// $ gitgraph together
	//      2  README.md  main.go
	// $ gitgraph stats
	// commits 3
	// authors 2
	// files   2
	// refs    3
}

// A query is a loop: here, the commits of the author of the newest commit.
func Example_query() {
	dir, err := os.MkdirTemp("", "gitgraph")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	repo, err := repository(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{gitgraph.Kinds}}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()
	if _, err := gitgraph.Import(ctx, rt, repo, gitgraph.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	graph, err := gitgraph.Of(ctx, rt)
	if err != nil {
		fmt.Println(err)
		return
	}
	var messages []string
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error {
		messages = nil // a turn may run more than once
		parts, err := graph.Contents(t)
		if err != nil {
			return err
		}
		newest, err := parts.Commit(t, "next")
		if err != nil {
			return err
		}
		author, err := newest.Author(t)
		if err != nil {
			return err
		}
		commits, err := author.Commits(t)
		if err != nil {
			return err
		}
		for _, c := range commits.Range(t, 0, commits.Len(t)) {
			message, err := c.Message(t)
			if err != nil {
				return err
			}
			messages = append(messages, message)
		}
		return nil
	})
	fmt.Println(messages, err)
	// Output:
	// [begin say more] <nil>
}
