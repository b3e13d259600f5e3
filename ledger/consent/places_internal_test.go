package consent

// IsPlace is isPlace, for the tests of what an export says.
var IsPlace = isPlace
