// Package cli is the sturdy command line for a program's own kinds. A command that can look
// into a world, call its objects and check it takes three lines:
//
//	package main
//
//	func main() { cli.Main(bank.Kind, chat.Kinds) }
//
// The stock command, cmd/sturdy, is the same without kinds: it shows every object of any
// world, and cannot call those whose behaviour is somebody else's Go code.
//
// What is typed at the prompt is remembered in a file of the user's own, but for what holds a
// sturdy ref, which is a secret.
//
// Exit codes: 0; 1 if it failed, or a check found something; 2 if the command line is wrong.
package cli
