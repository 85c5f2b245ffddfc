package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
)

const (
	maxLine   = 1024             // bytes that a line may have, its end included
	nameTime  = time.Minute      // to say NICK
	idleTime  = 12 * time.Hour   // to say anything
	writeTime = 10 * time.Second // for a line to be taken; whoever does not is gone
	back      = 5                // posts that a newcomer sees
)

// visit is one connection: a seat, and a screen that is the connection.
type visit struct {
	*site
	conn net.Conn
	in   *bufio.Reader
	seat chat.Seat
}

// visit serves one connection until it ends, or ctx.
func (s *site) visit(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Whatever ends first ends the rest: the connection's reader by this, the screen by ctx.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	v := &visit{site: s, conn: conn, in: bufio.NewReaderSize(conn, maxLine)}
	nick, err := v.name()
	if err != nil {
		v.end(err)
		return
	}
	screen, posts := chat.Screen(ctx, s.rt)
	if v.seat, err = s.room.Join(ctx, chat.Request{Nick: nick, Screen: screen, Back: back}); err != nil {
		v.end(err)
		return
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		defer cancel()
		v.show(posts)
	}()
	v.end(v.talk(ctx))
	if err := v.seat.Leave(context.WithoutCancel(ctx)); err != nil {
		s.log.Printf("%s leaves: %v", nick, err)
	}
	cancel()
	<-shown
}

// name is the nickname that the first line says.
func (v *visit) name() (string, error) {
	line, err := v.line(nameTime)
	if err != nil {
		return "", err
	}
	if verb, nick, _ := strings.Cut(line, " "); strings.EqualFold(verb, "NICK") {
		return strings.TrimSpace(nick), nil
	}
	return "", errors.New("say first: NICK and your name")
}

// errLong ends a connection, as what is left of the line would be taken for one.
var errLong = errors.New("a line of more than 1023 bytes")

// line is the next that comes in, without its end.
func (v *visit) line(within time.Duration) (string, error) {
	if err := v.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	line, err := v.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = errLong
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// errQuit ends a visit in good order.
var errQuit = errors.New("goodbye")

// talk does what the lines say. Only what makes the visit pointless ends it.
func (v *visit) talk(ctx context.Context) error {
	for {
		line, err := v.line(idleTime)
		if err == nil {
			err = v.obey(ctx, line)
		} else {
			return err
		}
		switch {
		case errors.Is(err, errQuit), errors.Is(err, chat.ErrNoSeat), ctx.Err() != nil:
			return err
		case err != nil:
			v.tell("! %v", err)
		}
	}
}

// obey does what one line says.
func (v *visit) obey(ctx context.Context, line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch {
	case verb == "":
		return nil
	case verb == "/quit":
		return errQuit
	case verb == "/who":
		return v.who(ctx)
	case verb == "/history":
		return v.history(ctx, arg)
	case strings.HasPrefix(verb, "/"):
		return errors.New("there is /who, /history N, /quit")
	}
	return v.seat.Say(ctx, line)
}

func (v *visit) who(ctx context.Context) error {
	members, err := v.room.Who(ctx)
	var names []string
	for _, m := range members {
		names = append(names, m.Nick)
	}
	if err == nil {
		v.tell("* here: %s", strings.Join(names, ", "))
	}
	return err
}

func (v *visit) history(ctx context.Context, arg string) error {
	n, err := strconv.Atoi(strings.TrimSpace(arg))
	if err != nil {
		return errors.New("how many lines?")
	}
	posts, err := v.seat.History(ctx, n)
	for _, p := range posts {
		v.tell("* %s %s: %s", p.At.Format(time.TimeOnly), p.Nick, p.Text)
	}
	return err
}

// show writes what the room says until the visit ends, or the other side takes nothing.
func (v *visit) show(posts iter.Seq[chat.Post]) {
	for p := range posts {
		if !v.tell("%s: %s", p.Nick, p.Text) {
			return
		}
	}
}

// tell writes one line. It is safe for concurrent use.
func (v *visit) tell(format string, args ...any) bool {
	err := v.conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err == nil {
		_, err = fmt.Fprintf(v.conn, format+"\n", args...)
	}
	return err == nil
}

// end says why the visit is over, if the other side may not know.
func (v *visit) end(err error) {
	var e *caps.Error
	switch {
	case errors.Is(err, errQuit):
		v.tell("* %v", err)
	case errors.As(err, &e), errors.Is(err, errLong), !isNet(err):
		v.tell("! %v", err)
	}
}

// isNet reports whether err is the connection's: nobody is there to be told.
func isNet(err error) bool {
	var e net.Error
	return errors.As(err, &e) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)
}
