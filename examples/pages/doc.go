// Package pages has code of the pages in docs/ that is in no other example, so that the compiler reads it. internal/pages compares.
package pages
