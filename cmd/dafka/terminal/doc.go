// Package terminal has what the program and its user exchange beside records: logs, messages, progress and tables, the
// names and numbers in them, errors with their exit statuses, and files that are read until a signal ends the program.
//
// Logs are written by a goroutine that no node waits for: DrainLogs waits for it before the program exits.
package terminal
