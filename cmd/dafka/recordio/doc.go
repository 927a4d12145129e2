// Package recordio turns input into records and records into output, in the formats text, raw, hex, c, length and json, or
// by a template. It publishes an input at a rate, with the progress on a terminal, and prints what a consumer gives.
package recordio
