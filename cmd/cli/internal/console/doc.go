// Package console is the language of the REPL: Starlark over the objects of a world. A
// [Session] runs statements and prints what they come to; it reads no keyboard and knows no
// terminal but its width, so that a script, a test and a person get the same answers.
//
// # Where it stands
//
// session.go runs, source.go splits text into statements, failure.go words errors. ref.go,
// method.go, record.go and ranges.go are the values a script meets; args.go, tovalue.go and
// fromvalue.go convert. The functions are in verbs.go and in a file
// for each matter: verbs_list.go, verbs_turn.go, verbs_grant.go, verbs_mail.go, verbs_thread.go,
// lsof.go and watch.go. grant.go is what grants take, sturdy.go the capability as text, which
// prints redacted but once, send.go what x.send and the promises are, and wire.go what differs
// for objects on other hosts. show.go, grid.go and repr.go print, complete.go and tail.go complete.
package console
