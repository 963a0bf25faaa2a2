/// What people call a thing.
enum Label {
    /// Whether it is short enough for its column, not blank, and free of control characters (NUL among them).
    static func isLegal(_ text: String, _ lengths: ClosedRange<Int> = 1...100) -> Bool {
        lengths.contains(text.unicodeScalars.count) && text.contains { !$0.isWhitespace }
            && !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }
}
