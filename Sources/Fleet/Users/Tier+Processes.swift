extension Tier {
    /// The most processes a VM of this tier holds, its own included. An execution takes at least three, and a
    /// thousand of them may be open at once.
    package var processes: Int {
        switch self {
        case .free: 4_096
        case .pro: 8_192
        case .unlimited: 16_384
        }
    }
}
