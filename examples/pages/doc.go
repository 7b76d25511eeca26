// Package pages contains code of docs/ that is in no other example, so that it is compiled. internal/pages compares the two.
package pages
