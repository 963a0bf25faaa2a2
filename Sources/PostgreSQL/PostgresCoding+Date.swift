package import Foundation

/// `timestamptz` to the microsecond, the server's own resolution; finer parts of a `Date` are rounded. Also reads
/// `timestamp` (as UTC) and `date` (its midnight in UTC). `infinity` and years before 1 cannot be read.
extension Date: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(TimestampText.format(self)) }
    package init(postgres cell: PostgresCell) throws(PostgresError) {
        self = try cell.parse(TimestampText.parse)
    }
}

/// ISO text of timestamps, as the server writes them under `DateStyle = ISO`.
enum TimestampText {
    static func format(_ date: Date) -> String {
        // Beyond the years 1 to 9999 the text is no timestamp, and the server says so.
        let seconds = date.timeIntervalSince1970
        guard seconds.isFinite, abs(seconds) < 1e12 else { return seconds > 0 ? "infinity" : "-infinity" }
        let microseconds = Int((seconds * 1_000_000).rounded())
        let (whole, fraction) = (floorDivide(microseconds, 1_000_000), floorModulo(microseconds, 1_000_000))
        let (day, time) = (floorDivide(whole, 86_400), floorModulo(whole, 86_400))
        let civil = civilDate(daysSinceEpoch: day)
        return "\(pad(civil.year, 4))-\(pad(civil.month, 2))-\(pad(civil.day, 2)) "
            + "\(pad(time / 3_600, 2)):\(pad(time / 60 % 60, 2)):\(pad(time % 60, 2)).\(pad(fraction, 6))+00"
    }

    static func parse(_ text: String) -> Date? {
        var scanner = DigitScanner(text)
        guard let year = scanner.number(), scanner.skip("-"), let month = scanner.number(), scanner.skip("-"),
            let day = scanner.number()
        else { return nil }
        var seconds = daysSinceEpoch(year: year, month: month, day: day) * 86_400
        if scanner.isAtEnd { return Date(timeIntervalSince1970: Double(seconds)) }
        guard scanner.skip(" "), let hour = scanner.number(), scanner.skip(":"), let minute = scanner.number(),
            scanner.skip(":"), let second = scanner.number()
        else { return nil }
        seconds += hour * 3_600 + minute * 60 + second
        let microseconds = scanner.skip(".") ? scanner.fraction() : 0
        if !scanner.isAtEnd {
            let sign = scanner.skip("+") ? 1 : scanner.skip("-") ? -1 : 0
            guard sign != 0, let hours = scanner.number() else { return nil }
            let minutes = scanner.skip(":") ? scanner.number() ?? 0 : 0
            let rest = scanner.skip(":") ? scanner.number() ?? 0 : 0
            seconds -= sign * (hours * 3_600 + minutes * 60 + rest)
            guard scanner.isAtEnd else { return nil }  // "BC"
        }
        return Date(timeIntervalSince1970: Double(seconds * 1_000_000 + microseconds) / 1_000_000)
    }

    private static func pad(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func floorDivide(_ value: Int, _ divisor: Int) -> Int {
        value >= 0 ? value / divisor : -((divisor - 1 - value) / divisor)
    }
    private static func floorModulo(_ value: Int, _ divisor: Int) -> Int {
        value - floorDivide(value, divisor) * divisor
    }

    // Both conversions: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    private static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = floorDivide(shifted, 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
    private static func civilDate(daysSinceEpoch days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

private struct DigitScanner {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = Substring(text).utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number() -> Int? {
        var value: Int?
        for _ in 0..<9 {  // more digits than any field has, fewer than overflow
            guard let digit = digit() else { break }
            value = (value ?? 0) * 10 + digit
        }
        return value
    }

    /// Up to six digits after the point, as microseconds.
    mutating func fraction() -> Int {
        var value = 0
        for _ in 0..<6 { value = value * 10 + (digit() ?? 0) }
        return value
    }

    private mutating func digit() -> Int? {
        guard let byte = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        rest.removeFirst()
        return Int(byte - UInt8(ascii: "0"))
    }
}
