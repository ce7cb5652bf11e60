//go:build race

package main

func init() { detects = true }
