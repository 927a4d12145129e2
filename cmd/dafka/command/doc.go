// Package command has the commands of dafka, a file each, with the root, the order of flags, the man pages and the
// completion of command lines. A command reads its arguments and flags, calls the packages that do the work, and prints.
package command
