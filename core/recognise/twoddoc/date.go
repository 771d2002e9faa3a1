package twoddoc

import (
	"strconv"
	"time"

	"vaguemestre/core"
)

// epoch is the first day of the dates written as a number of days.
var epoch = core.Date{Year: 2000, Month: time.January, Day: 1}

// hexDate reads four hexadecimal digits: days since 1 January 2000; FFFF is no date.
func hexDate(s string) (core.Date, bool) {
	if len(s) != 4 || !isUpper(s) {
		return core.Date{}, false
	}
	days, err := strconv.ParseUint(s, 16, 16)
	switch {
	case err != nil:
		return core.Date{}, false
	case days == 0xFFFF:
		return core.Date{}, true
	}
	return epoch.AddDays(int(days)), true
}

// printedDate reads JJMMAAAA.
func printedDate(s string) (core.Date, bool) {
	if len(s) != 8 || !isDigits(s) {
		return core.Date{}, false
	}
	return civil(s[4:8], s[2:4], s[0:2])
}

// binaryDate reads MMJJAAAA as an integer on three bytes; FFFFFF is no date.
func binaryDate(b []byte) (core.Date, bool) {
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if n == 0xFFFFFF {
		return core.Date{}, true
	}
	return core.NewDate(n%10_000, time.Month(n/1_000_000), n/10_000%100)
}

func civil(year, month, day string) (core.Date, bool) {
	y, _ := strconv.Atoi(year)
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(day)
	return core.NewDate(y, time.Month(m), d)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
