//! What runs without `-f`: two small servers of our own behind a frontend, to see cookies, checks and balancing.

/// Name of the built-in configuration in messages.
pub const NAME: &str = "built-in demonstration";

/// The built-in configuration.
pub const CONFIG: &str = "\
global
    maxconn 2000
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 10s
    timeout check 1s
frontend demo
    bind 127.0.0.1:8080
    option forwardfor
    default_backend demo-servers
backend demo-servers
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option httpchk GET /health
    server red 127.0.0.1:8081 cookie red check inter 1s
    server blue 127.0.0.1:8082 cookie blue check inter 1s
";
