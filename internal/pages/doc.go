// Package pages tests the documentation: links, anchors, code, and the map of the pages.
package pages
