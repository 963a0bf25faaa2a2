extension Tier {
    /// What its users' runs may reach, where no admin has said otherwise.
    package var network: NetworkPolicy {
        switch self {
        case .free: .isolated
        case .pro, .unlimited: .egress
        }
    }
}
