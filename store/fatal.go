package store

import "fmt"

// fatalError is what Pebble says it cannot go on from.
type fatalError string

func (e fatalError) Error() string { return string(e) }

// catchFatal is deferred where what Pebble cannot go on from is to be an error.
func catchFatal(err *error) {
	switch cause := recover().(type) {
	case nil:
	case fatalError:
		*err = cause
	default:
		panic(cause)
	}
}

// guard makes an error of a panic within read.
func guard(read func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	return read()
}
