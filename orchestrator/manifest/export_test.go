package manifest

// For tests that do not want a file.
var (
	Encode = encode
	Decode = decode
)
