package gitgraph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// repository is a git repository, read by running git. Only commands are used whose output
// is meant for programs, so that nobody's configuration changes what is read.
type repository struct {
	dir    string
	hidden string // the git directory
}

// openRepository finds the repository that dir is in.
func openRepository(ctx context.Context, dir string) (*repository, error) {
	r := &repository{dir: dir}
	out, err := r.output(ctx, nil, "rev-parse", "--absolute-git-dir")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed, or not on the PATH")
	case err != nil:
		return nil, fmt.Errorf("%s is not a git repository: %w", dir, err)
	}
	r.hidden = strings.TrimSuffix(string(out), "\n")
	return r, nil
}

// command prepares a run of git. Variables that would point it at another repository, or
// make it fetch what is missing, stay behind.
func (r *repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", r.dir}, args...)...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0")
	return cmd
}

// output runs git with stdin and returns what it prints.
func (r *repository) output(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	return out, gitError(ctx, args[0], err, stderr.String())
}

// gitError says what git said. That the import was told to stop comes before what git makes
// of being stopped.
func gitError(ctx context.Context, command string, err error, stderr string) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.TrimSpace(stderr) == "":
		return fmt.Errorf("git %s: %w", command, err)
	}
	return fmt.Errorf("git %s: %s (%w)", command, strings.TrimSpace(stderr), err)
}

// refs returns the hashes that refs and HEAD stand for, tags followed to what they tag.
// What is no commit is among them.
func (r *repository) refs(ctx context.Context) (map[string]string, error) {
	out, err := r.output(ctx, nil, "show-ref", "--head", "--dereference")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil, nil // there are none
	}
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		hash, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		refs[strings.TrimSuffix(ref, "^{}")] = hash // the line of what is tagged follows the tag's
	}
	return refs, nil
}

// reachable lists the commits that tips reach and known do not, parents before children.
// Known ones that are gone do not count.
func (r *repository) reachable(ctx context.Context, tips, known []string) ([]string, error) {
	if len(tips) == 0 {
		return nil, nil
	}
	var ask strings.Builder
	for _, tip := range tips {
		ask.WriteString(tip + "\n")
	}
	for _, k := range known {
		ask.WriteString("^" + k + "\n")
	}
	out, err := r.output(ctx, strings.NewReader(ask.String()), "rev-list", "--topo-order", "--reverse", "--ignore-missing", "--stdin")
	return strings.Fields(string(out)), err
}

// commits keeps those of hashes that are commits, each once.
func (r *repository) commits(ctx context.Context, hashes map[string]string) ([]string, error) {
	list := slices.Compact(slices.Sorted(maps.Values(hashes)))
	out, err := r.output(ctx, strings.NewReader(strings.Join(list, "\n")+"\n"), "cat-file", "--batch-check=%(objecttype) %(objectname)")
	list = list[:0]
	for line := range strings.Lines(string(out)) {
		if hash, ok := strings.CutPrefix(strings.TrimSpace(line), "commit "); ok {
			list = append(list, hash)
		}
	}
	return list, err
}

// boundary lists the commits whose parents a shallow clone lacks.
func (r *repository) boundary(ctx context.Context) ([]string, error) {
	out, err := r.output(ctx, nil, "rev-parse", "--git-path", "shallow")
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(string(out), "\n")
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	list, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(list)), err
}

// format is what git prints of a commit; see parser.
const format = "%H%x00%P%x00%an%x00%ae%x00%at%x00%B%x00"

// each calls yield with every commit of hashes, in their order. Where git gives up because
// the repository lacks a blob, the commit comes without lines, and git is started again
// behind it.
func (r *repository) each(ctx context.Context, hashes []string, yield func(*entry) error) error {
	for len(hashes) > 0 {
		done, err := r.run(ctx, hashes, "--numstat", yield)
		hashes = hashes[done:]
		var lacking *lackingError
		if !errors.As(err, &lacking) {
			return err
		}
		if _, err := r.run(ctx, hashes[:1], "--raw", yield); err != nil {
			return err
		}
		hashes = hashes[1:]
	}
	return nil
}

// lackingError is the end of a git that has met something that it could not read.
type lackingError struct{ error }

// run has one git print the commits of hashes, and returns how many yield has had.
func (r *repository) run(ctx context.Context, hashes []string, how string, yield func(*entry) error) (done int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, "diff-tree", "--stdin", "-r", "--root", "--always", "--no-renames", "--no-ext-diff", "--no-textconv",
		"--ignore-submodules=none", "--no-abbrev", "--encoding=UTF-8", "-z", how, "--format="+format)
	cmd.Stdin = strings.NewReader(strings.Join(hashes, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0, fmt.Errorf("git diff-tree: %w", err)
	}
	p := newParser(pipe)
	var e *entry
	for err == nil {
		if e, err = p.next(); err == nil {
			err = yield(e)
			done++
		}
	}
	if err != io.EOF {
		cancel() // nobody reads on, nor asks what git says to that
		_ = cmd.Wait()
		return done, err
	}
	return r.finish(ctx, cmd.Wait(), stderr.String(), p, len(hashes), done, yield)
}

// finish judges the end of git's output. The last commit is whole only if git ended well.
func (r *repository) finish(ctx context.Context, ended error, stderr string, p *parser, want, done int, yield func(*entry) error) (int, error) {
	var exit *exec.ExitError
	err := gitError(ctx, "diff-tree", ended, stderr)
	switch {
	case ctx.Err() == nil && errors.As(ended, &exit) && exit.ExitCode() == 128 && done < want:
		return done, &lackingError{err}
	case err != nil:
		return done, err
	case p.rest != nil:
		if err := yield(p.rest); err != nil {
			return done, err
		}
		done++
	}
	if done != want {
		return done, fmt.Errorf("git diff-tree printed %d of %d commits", done, want)
	}
	return done, nil
}
