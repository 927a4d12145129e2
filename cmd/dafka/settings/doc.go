// Package settings has the settings of a node and the flags that give them. A flag comes before a variable of the
// environment, which comes before the configuration file, which comes before the default.
//
// All is the table of settings. Read returns what holds for a command, or a usage error that names the place of a wrong
// value. The configuration file is in ZPL, the format of czmq's zconfig.
package settings
