// What the pretended OVH has to sell. Shapes and values are those of OVH's own fixtures, as far as those are public.

struct Offer: Sendable {
    static let regions = ["BHS5", "GRA", "GRA11"]
    /// The family name that OVH lists too, and that has no flavours of its own.
    static let emptyRegion = "GRA"

    static func flavors(in region: String) -> [JSON] {
        if region == emptyRegion { return [] }
        typealias Row = (name: String, vcpus: Int, ram: Int, disk: Int, type: String, isAvailable: Bool, quota: Int)
        let (general, compute) = ("ovh.ssd.eg", "ovh.ssd.cpu")
        let rows: [Row] = [
            ("d2-2", 1, 2, 25, "ovh.d2", true, 5), ("d2-4", 2, 4, 50, "ovh.d2", true, 5),
            ("d2-8", 4, 8, 50, "ovh.d2", false, 5), ("b2-7", 2, 7, 50, general, true, 9),
            ("b2-15", 4, 15, 100, general, true, 9), ("b2-15-flex", 4, 15, 50, general, true, 9),
            ("c2-7", 2, 7, 50, compute, true, 9), ("b3-8", 2, 8, 50, general, true, 0),
            ("b3-16", 4, 16, 100, general, true, 4), ("r2-15", 2, 15, 50, "ovh.ssd.ram", true, 4),
            ("win-b2-7", 2, 7, 50, general, true, 9), ("s1-2", 1, 2_000, 10, "ovh.vps-ssd", true, 3),
            ("b2-30", 8, 30_000, 200, general, true, 2), ("b3-32", 8, 0, 200, general, true, 2),
        ]
        return rows.map { row in
            [
                "id": .text("\(row.name)-\(region.lowercased())-id"), "name": .text(row.name),
                "region": .text(region), "ram": JSON(row.ram), "disk": JSON(row.disk), "vcpus": JSON(row.vcpus),
                "type": .text(row.type), "osType": .text(row.name.hasPrefix("win-") ? "windows" : "linux"),
                "inboundBandwidth": 250, "outboundBandwidth": nil, "available": .bool(row.isAvailable),
                "quota": JSON(row.quota),
                "planCodes": [
                    "hourly": .text("\(row.name).consumption"), "monthly": .text("\(row.name).monthly.postpaid"),
                    "license": nil,
                ],
                "capabilities": [["name": "resize", "enabled": true], ["name": "snapshot", "enabled": true]],
            ]
        }
    }

    static func images(in region: String) -> [JSON] {
        if region == emptyRegion { return [] }
        let names = ["Debian 12", "Ubuntu 22.04", "Ubuntu 22.04 - UEFI", "Docker on Ubuntu 22.04", "Ubuntu 24.04"]
        return names.enumerated().map { index, name in
            [
                "id": .text("image-\(index)-\(region.lowercased())"), "name": .text(name), "region": .text(region),
                "type": "linux", "status": "active", "visibility": "public", "minDisk": 0, "minRam": 0, "size": 2.2,
                "user": .text(name.hasPrefix("Debian") ? "debian" : "ubuntu"),
                "creationDate": "2026-01-01T00:00:00Z", "flavorType": nil, "planCode": nil, "tags": [],
            ]
        }
    }
}

extension JSON: ExpressibleByFloatLiteral {
    package init(floatLiteral value: Double) { self = .number(value) }
}
