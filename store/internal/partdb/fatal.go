package partdb

import "fmt"

// FatalError is what Pebble says it cannot go on from.
type FatalError string

func (e FatalError) Error() string { return string(e) }

// catchFatal is deferred where what Pebble cannot go on from is to be an error.
func catchFatal(err *error) {
	switch cause := recover().(type) {
	case nil:
	case FatalError:
		*err = cause
	default:
		panic(cause)
	}
}

// Guard makes an error of a panic within read.
func Guard(read func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	return read()
}
